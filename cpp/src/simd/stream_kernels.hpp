// Which segments under way can still win: one score against the weights of all ends that it can have. Ends lie in lanes.
#pragma once

#include "dispatch.hpp"

#include <cstddef>

namespace conv2d::simd {

struct StreamKernels {
    // best[x] = max(best[x], score + weights[x]) for x < ends.
    void (*raise)(double *best, const double *weights, double score, std::size_t ends);
    // Whether score + weights[x] > bar[x] for any x < ends.
    bool (*exceeds)(const double *bar, const double *weights, double score, std::size_t ends);
};

CONV2D_DECLARE_KERNELS(StreamKernels, kStreamKernels)

[[nodiscard]] inline const StreamKernels &stream_kernels(SimdPath path) {
    return CONV2D_PICK_KERNELS(path, kStreamKernels);
}

} // namespace conv2d::simd
