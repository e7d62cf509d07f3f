// What a figure depends on besides the code, as far as this machine tells.
#pragma once

#include "harness.hpp"

#include <map>
#include <string>

namespace conv2d::bench {

[[nodiscard]] ClockState clock_state();

// CPU model, cores, governor, clock and its limits, temperature, throttle flags, load, compiler; NOT_MEASURED for what
// the machine does not tell.
[[nodiscard]] std::map<std::string, std::string> machine_state();

// Why figures that are taken here mean nothing, or nothing when they may.
[[nodiscard]] std::string why_figures_mean_nothing();

} // namespace conv2d::bench
