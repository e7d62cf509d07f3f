#include "hsmm_arguments.hpp"

#include <algorithm>

namespace conv2d::bindings {
namespace {

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

// One matrix for all frames, or one for each of them.
Contiguous<double> require_transitions(const py::object &value, const py::array &emissions) {
    const py::array array = require_array(value, "log_transitions", "fiu", "real numbers");
    if (array.ndim() != 3) {
        require_dimensions(array, "log_transitions", 2, "(K, K) or (T, K, K)");
    }
    const py::ssize_t frames = emissions.shape(0), states = emissions.shape(1);
    const bool by_frame = array.ndim() == 3;
    if (by_frame && (array.shape(0) != frames || array.shape(1) != states || array.shape(2) != states)) {
        const std::string square = std::to_string(states) + ", " + std::to_string(states) + ")";
        throw py::value_error("log_transitions has shape " + shape_text(array) + ", expected (" + square + " or (" +
                              std::to_string(frames) + ", " + square + ", as log_emissions has shape " +
                              shape_text(emissions));
    }
    return Contiguous<double>(array);
}

// The core takes the matrices of all frames below each other; an array that stands so already was meant otherwise.
Matrix<const double> transition_rows(const Contiguous<double> &transitions, const py::array &emissions) {
    if (transitions.ndim() == 2) {
        if (transitions.shape(0) != emissions.shape(1) && transitions.shape(1) == emissions.shape(1)) {
            throw py::value_error("log_transitions has shape " + shape_text(transitions) + ", expected (" +
                                  std::to_string(emissions.shape(1)) + ", " + std::to_string(emissions.shape(1)) +
                                  "), as log_emissions has " + std::to_string(emissions.shape(1)) +
                                  " columns, or one such matrix for each frame, (T, K, K)");
        }
        return matrix(transitions);
    }
    const auto rows = static_cast<std::size_t>(transitions.shape(0)) * static_cast<std::size_t>(transitions.shape(1));
    return {transitions.data(), rows, static_cast<std::size_t>(transitions.shape(2))};
}

} // namespace

HsmmArguments::HsmmArguments(const py::object &log_emissions, const py::object &log_transitions,
                             const py::object &log_initial, const py::object &log_durations,
                             const py::object &censoring)
    : emissions(require_numbers<double>(log_emissions, "log_emissions", 2, "(T, K)")),
      transitions(require_transitions(log_transitions, emissions)),
      initial(require_numbers<double>(log_initial, "log_initial", 1, "(K,)")),
      durations(require_numbers<double>(log_durations, "log_durations", 2, "(K, D)")),
      model{transition_rows(transitions, emissions), vector(initial), matrix(durations), parse_censoring(censoring)} {}

Contiguous<std::int64_t> segment_rows(std::span<const Segment> segments) {
    Contiguous<std::int64_t> array({static_cast<py::ssize_t>(segments.size()), py::ssize_t{3}});
    const auto rows = mutable_matrix(array);
    for (std::size_t n = 0; n < segments.size(); ++n) {
        rows(n, 0) = segments[n].state;
        rows(n, 1) = segments[n].start;
        rows(n, 2) = segments[n].end;
    }
    return array;
}

Contiguous<std::int64_t> frame_states(std::span<const Segment> segments) {
    Contiguous<std::int64_t> array(segments.empty() ? 0 : static_cast<py::ssize_t>(segments.back().end));
    const auto states = mutable_vector(array);
    for (const Segment &segment : segments) {
        std::fill(states.begin() + segment.start, states.begin() + segment.end, segment.state);
    }
    return array;
}

} // namespace conv2d::bindings
