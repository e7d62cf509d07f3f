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

} // namespace

HsmmArguments::HsmmArguments(const py::object &log_emissions, const py::object &log_transitions,
                             const py::object &log_initial, const py::object &log_durations,
                             const py::object &censoring)
    : emissions(require_numbers<double>(log_emissions, "log_emissions", 2, "(T, K)")),
      transitions(require_numbers<double>(log_transitions, "log_transitions", 2, "(K, K)")),
      initial(require_numbers<double>(log_initial, "log_initial", 1, "(K,)")),
      durations(require_numbers<double>(log_durations, "log_durations", 2, "(K, D)")),
      model{matrix(transitions), vector(initial), matrix(durations), parse_censoring(censoring)} {}

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
