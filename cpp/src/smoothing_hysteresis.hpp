// The switch with two thresholds, from any state on.
#pragma once

#include <span>

namespace conv2d::detail {

void check_thresholds(double enter, double exit);

// The smallest float that is not below the threshold: p >= threshold and p < threshold hold for the same floats p
// when they are compared with it instead.
[[nodiscard]] float not_below(double threshold);

// States after each sample, beginning in `state`; returns the last one. Throws on NaN, naming the row.
bool switch_states(std::span<const double> p, double enter, double exit, bool state, std::span<bool> on);
bool switch_states(std::span<const float> p, double enter, double exit, bool state, std::span<bool> on);

} // namespace conv2d::detail
