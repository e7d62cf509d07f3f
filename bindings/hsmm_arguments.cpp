#include "hsmm_arguments.hpp"

namespace conv2d::bindings {
Censoring parse_censoring(const py::object &name) {
    if (py::isinstance<py::str>(name)) {
        const auto text = name.cast<std::string>();
        if (text == "none") {
            return Censoring::none;
        }
        if (text == "right") {
            return Censoring::right;
        }
        if (text == "left") {
            return Censoring::left;
        }
        if (text == "both") {
            return Censoring::both;
        }
    }
    throw py::value_error("censoring is " + std::string(py::repr(name)) +
                          ", expected 'none', 'right', 'left' or 'both'");
}

namespace {

// (K, K), or (T, K, K) for one matrix a frame, as rows of K.
Matrix<const double> transition_rows(const Contiguous<double> &array, const Contiguous<double> &emissions) {
    const py::ssize_t frames = emissions.shape(0);
    const py::ssize_t states = emissions.shape(1);
    const bool stacked = array.ndim() == 3;
    const bool fits = array.shape(array.ndim() - 1) == states && array.shape(array.ndim() - 2) == states &&
                      (!stacked || array.shape(0) == frames);
    if (!fits && (stacked || array.shape(0) == frames * states)) {
        const std::string square = std::to_string(states) + ", " + std::to_string(states) + ")";
        throw py::value_error("log_transitions has shape " + shape_text(array) + ", expected (" + square + " or (" +
                              std::to_string(frames) + ", " + square + ", as log_emissions has shape " +
                              shape_text(emissions));
    }
    const auto columns = static_cast<std::size_t>(array.shape(array.ndim() - 1));
    return {array.data(), columns == 0 ? 0 : static_cast<std::size_t>(array.size()) / columns, columns};
}

Contiguous<double> transition_numbers(const py::object &value) {
    const py::array array = require_array(value, "log_transitions", "fiu", "real numbers");
    if (array.ndim() != 3) {
        require_dimensions(array, "log_transitions", 2, "(K, K) or (T, K, K)");
    }
    return Contiguous<double>(array);
}

} // namespace

HsmmArguments::HsmmArguments(const py::object &log_emissions, const py::object &log_transitions,
                             const py::object &log_initial, const py::object &log_durations,
                             const py::object &censoring)
    : emissions(require_numbers<double>(log_emissions, "log_emissions", 2, "(T, K)")),
      transitions(transition_numbers(log_transitions)),
      initial(require_numbers<double>(log_initial, "log_initial", 1, "(K,)")),
      durations(require_numbers<double>(log_durations, "log_durations", 2, "(K, D)")),
      model{transition_rows(transitions, emissions), vector(initial), matrix(durations), parse_censoring(censoring)} {}

} // namespace conv2d::bindings
