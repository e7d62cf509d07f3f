// The arguments that every hsmm_* function takes.
#pragma once

#include "arrays.hpp"

#include "conv2d/hsmm.hpp"

namespace conv2d::bindings {

[[nodiscard]] Censoring parse_censoring(const py::object &name);

// Held for as long as the core looks at them.
struct HsmmArguments {
    HsmmArguments(const py::object &log_emissions, const py::object &log_transitions, const py::object &log_initial,
                  const py::object &log_durations, const py::object &censoring);

    Contiguous<double> emissions, transitions, initial, durations;
    HsmmModel model;
};

} // namespace conv2d::bindings
