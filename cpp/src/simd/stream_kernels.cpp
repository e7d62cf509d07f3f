#include "stream_kernels.hpp"

#include "f64.hpp"

namespace conv2d::simd::CONV2D_PATH {
namespace {

void raise(double *best, const double *weights, double score, std::size_t ends) noexcept {
    const F64 from = broadcast(score);
    std::size_t x = 0;
    for (; x + F64::lanes <= ends; x += F64::lanes) {
        store(best + x, max(load(best + x), add(from, load(weights + x))));
    }
    for (; x < ends; ++x) {
        const double sum = score + weights[x];
        best[x] = sum > best[x] ? sum : best[x];
    }
}

bool exceeds(const double *bar, const double *weights, double score, std::size_t ends) noexcept {
    const F64 from = broadcast(score);
    std::size_t x = 0;
    for (; x + F64::lanes <= ends; x += F64::lanes) {
        if (any(greater(add(from, load(weights + x)), load(bar + x)))) {
            return true;
        }
    }
    for (; x < ends; ++x) {
        if (score + weights[x] > bar[x]) {
            return true;
        }
    }
    return false;
}

} // namespace

extern const StreamKernels kStreamKernels;
constexpr StreamKernels kStreamKernels{raise, exceeds};

} // namespace conv2d::simd::CONV2D_PATH
