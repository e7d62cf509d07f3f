// The arguments that every hsmm_* function takes, and how segments go back.
#pragma once

#include "arrays.hpp"

#include "conv2d/hsmm.hpp"

#include <cstdint>
#include <span>

namespace conv2d::bindings {

// Held for as long as the core looks at them.
struct HsmmArguments {
    HsmmArguments(const py::object &log_emissions, const py::object &log_transitions, const py::object &log_initial,
                  const py::object &log_durations, const py::object &censoring);

    Contiguous<double> emissions, transitions, initial, durations;
    HsmmModel model;
};

// (n, 3) state, start, end.
[[nodiscard]] Contiguous<std::int64_t> segment_rows(std::span<const Segment> segments);

// (T,) the state of each frame.
[[nodiscard]] Contiguous<std::int64_t> frame_states(std::span<const Segment> segments);

} // namespace conv2d::bindings
