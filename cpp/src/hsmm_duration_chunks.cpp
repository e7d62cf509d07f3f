#include "hsmm_duration_chunks.hpp"

#include "hsmm_weight.hpp"

#include <algorithm>
#include <vector>

namespace conv2d::detail {
namespace {

constexpr double kFarthest = 0x1p30;    // scores beyond it leave no digits to the others
constexpr double kKeptBits = -300.0;    // below the largest of a chunk
constexpr std::size_t kHalf = simd::kBlockRows - 1;

} // namespace

DurationTable::DurationTable(const std::function<const double *(std::size_t)> &log_weights, std::size_t states,
                             std::size_t width, std::size_t longest) {
    constexpr std::size_t rows = simd::kChunkRows;
    const std::size_t chunks = (longest + kHalf) / simd::kBlockRows;
    const std::size_t linear = 0;
    const std::size_t top = linear + chunks * rows * width;
    const std::size_t lossy = top + chunks * width;
    const std::size_t near_linear = lossy + chunks * width;
    const std::size_t near_mantissa = near_linear + simd::kBlockRows * width;
    const std::size_t near_exponent = near_mantissa + simd::kBlockRows * width;
    const std::size_t near_top = near_exponent + simd::kBlockRows * width;
    const std::size_t near_lossy = near_top + width;
    memory_ = WorkBlock(near_lossy + width);
    double *const data = memory_.data();
    std::fill_n(data, near_lossy + width, 0.0);
    std::fill_n(data + top, chunks * width, Weight::kNoExponent);
    std::fill_n(data + near_exponent, simd::kBlockRows * width, Weight::kNoExponent);
    std::fill_n(data + near_top, width, Weight::kNoExponent);
    std::vector<Weight> weights(longest + 1);
    for (std::size_t k = 0; k < states; ++k) {
        const double *const scores = log_weights(k);
        for (std::size_t d = 1; d <= longest; ++d) {
            const double score = scores[d - 1];
            within_ = within_ && (score == kNever || (score >= -kFarthest && score <= kFarthest));
            weights[d] = Weight::of_log(score);
        }
        if (!within_) {
            return;
        }
        // Durations first .. last, divided by the power of two of the largest; returns that exponent.
        const auto lay = [&](std::size_t first, std::size_t last, double *to, double &lost) {
            double largest = Weight::kNoExponent;
            for (std::size_t d = first; d <= last; ++d) {
                largest = std::max(largest, weights[d].exponent);
            }
            for (std::size_t d = first; d <= last; ++d, to += width) {
                const double below = weights[d].exponent - largest;
                if (below >= kKeptBits) {
                    *to = Weight{weights[d].mantissa, below}.value();
                } else if (!weights[d].is_zero()) {
                    lost = 1.0;
                }
            }
            return largest;
        };
        for (std::size_t c = 1; c <= chunks; ++c) {
            data[top + (c - 1) * width + k] =
                lay(simd::kBlockRows * c - kHalf, std::min(simd::kBlockRows * c + kHalf, longest),
                    data + linear + (c - 1) * rows * width + k, data[lossy + (c - 1) * width + k]);
        }
        data[near_top + k] =
            lay(1, std::min(kHalf, longest), data + near_linear + width + k, data[near_lossy + k]);
        for (std::size_t d = 1; d <= std::min(kHalf, longest); ++d) {
            data[near_mantissa + d * width + k] = weights[d].mantissa;
            data[near_exponent + d * width + k] = weights[d].exponent;
        }
    }
    chunks_ = {chunks,
               data + linear,
               data + top,
               data + lossy,
               data + near_linear,
               data + near_top,
               data + near_lossy,
               data + near_mantissa,
               data + near_exponent,
               std::any_of(data + near_lossy, data + near_lossy + width, [](double lost) { return lost > 0.0; })};
}

} // namespace conv2d::detail
