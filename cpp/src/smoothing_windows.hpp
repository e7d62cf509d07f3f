// Window statistics of a part of a sequence; what the whole-array filters and the streams have in common.
#pragma once

#include "conv2d/smoothing_streams.hpp"
#include "simd/smoothing_kernels.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace conv2d::detail {

// Memory that is kept between the parts of one sequence.
template <typename Label> struct WindowScratch {
    std::vector<std::uint8_t> bytes;
    std::vector<std::uint32_t> ranks;
    std::vector<Label> values;
};

// Throws unless the width is odd and at least 1.
void check_width(std::int64_t width);

// The statistic of the windows around samples first .. last-1, to[0] being that of `first`. The ends of `labels` are
// continued by their own label. `to` must not overlap with `labels`.
template <typename Label> void filter_windows(const simd::SmoothingKernels &kernels, WindowStatistic statistic,
                                              std::span<const Label> labels, std::size_t first, std::size_t last,
                                              std::uint64_t width, Label *to, WindowScratch<Label> &scratch);

} // namespace conv2d::detail
