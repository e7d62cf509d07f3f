#include "conv2d/fsq.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <string>

namespace conv2d {
namespace {

// Floats in ascending order as ascending unsigned integers (IEEE total order without NaN).
constexpr std::uint32_t kSign = 0x80000000u;

float from_rank(std::uint32_t rank) noexcept {
    return std::bit_cast<float>((rank & kSign) != 0 ? rank ^ kSign : ~rank);
}

std::uint32_t to_rank(float value) noexcept {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return (bits & kSign) != 0 ? ~bits : bits ^ kSign;
}

std::vector<float> find_thresholds(std::int64_t levels) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    std::vector<float> thresholds;
    thresholds.reserve(static_cast<std::size_t>(levels - 1));
    std::uint32_t floor = to_rank(-kInfinity);
    for (std::int64_t digit = 1; digit < levels; ++digit) {
        // The digit is a non-decreasing function of z: bisect for the smallest float that reaches it.
        std::uint32_t low = floor; // below the threshold
        std::uint32_t high = to_rank(kInfinity);
        while (high - low > 1) {
            const std::uint32_t middle = low + (high - low) / 2;
            if (fsq_reference_digit(from_rank(middle), levels) >= digit) {
                high = middle;
            } else {
                low = middle;
            }
        }
        // -0 and +0 compare equal, so a threshold of -0 would be the same step; keep one spelling of it.
        thresholds.push_back(from_rank(high) + 0.0f);
        floor = low;
    }
    return thresholds;
}

// Counting all of the few thresholds has no branch to mispredict; a bisection has one at every step.
std::uint64_t digit(float z, std::span<const float> thresholds) noexcept {
    std::uint32_t below = 0;
    for (const float threshold : thresholds) {
        below += threshold <= z ? 1u : 0u;
    }
    return below;
}

void require_levels(std::int64_t levels) {
    if (levels < kMinLevels || levels > kMaxLevels) {
        throw std::invalid_argument("levels holds " + std::to_string(levels) + ", expected 2 to 255 in each dimension");
    }
}

} // namespace

std::int64_t fsq_reference_digit(float z, std::int64_t levels) noexcept {
    // Each intermediate is stored as float32 on purpose. tanh and atanh go through double: their float32 roundings
    // then agree between C libraries, which their own float versions do not.
    const bool even = levels % 2 == 0;
    const auto half = static_cast<float>(static_cast<double>(levels - 1) * (1.0 + 1e-3) / 2.0);
    const float offset = even ? 0.5f : 0.0f;
    const auto shift = static_cast<float>(std::atanh(static_cast<double>(offset) / static_cast<double>(half)));
    const float shifted = z + shift;
    const auto bounded = static_cast<float>(std::tanh(static_cast<double>(shifted)));
    const float scaled = bounded * half;
    const float centred = scaled - offset;
    return static_cast<std::int64_t>(std::nearbyint(centred)) + levels / 2;
}

std::span<const float> fsq_thresholds(std::int64_t levels) {
    static std::array<std::once_flag, kMaxLevels + 1> found;
    static std::array<std::vector<float>, kMaxLevels + 1> tables;
    require_levels(levels);
    const auto index = static_cast<std::size_t>(levels);
    std::call_once(found[index], [&] { tables[index] = find_thresholds(levels); });
    return tables[index];
}

FsqLattice::FsqLattice(std::span<const std::int64_t> levels) : levels_(levels.begin(), levels.end()) {
    if (levels.empty()) {
        throw std::invalid_argument("levels is empty, expected one number of levels for each dimension");
    }
    constexpr std::uint64_t kLimit = std::uint64_t{1} << 63;
    for (const std::int64_t count : levels_) {
        require_levels(count);
        strides_.push_back(size_);
        thresholds_.push_back(fsq_thresholds(count));
        const auto factor = static_cast<std::uint64_t>(count);
        if (size_ > kLimit / factor) {
            throw std::invalid_argument("levels make a lattice of more than 2^63 points, expected codes that fit "
                                        "int64; use fewer dimensions or levels");
        }
        size_ *= factor;
    }
}

void FsqLattice::check(Matrix<const float> z) const {
    for (std::size_t row = 0; row < z.rows; ++row) {
        for (std::size_t col = 0; col < z.cols; ++col) {
            if (is_nan(z(row, col))) {
                throw std::invalid_argument("z row " + std::to_string(row) + ", column " + std::to_string(col) +
                                            " is nan, expected numbers; leave out windows with missing samples");
            }
        }
    }
}

template <typename Code> void FsqLattice::encode(Matrix<const float> z, std::span<Code> codes) const {
    check(z);
    for (std::size_t row = 0; row < z.rows; ++row) {
        std::uint64_t code = 0;
        for (std::size_t i = 0; i < z.cols; ++i) {
            code += digit(z(row, i), thresholds_[i]) * strides_[i];
        }
        codes[row] = static_cast<Code>(code);
    }
}

template void FsqLattice::encode(Matrix<const float>, std::span<std::int32_t>) const;
template void FsqLattice::encode(Matrix<const float>, std::span<std::int64_t>) const;

void FsqLattice::decode(std::span<const std::int64_t> codes, Matrix<float> values) const {
    for (std::size_t row = 0; row < codes.size(); ++row) {
        if (codes[row] < 0 || static_cast<std::uint64_t>(codes[row]) >= size_) {
            throw std::invalid_argument("codes row " + std::to_string(row) + " is " + std::to_string(codes[row]) +
                                        ", expected 0 to " + std::to_string(size_ - 1) + " for these levels");
        }
    }
    for (std::size_t row = 0; row < codes.size(); ++row) {
        auto rest = static_cast<std::uint64_t>(codes[row]);
        for (std::size_t i = 0; i < levels_.size(); ++i) {
            const auto count = static_cast<std::uint64_t>(levels_[i]);
            const auto middle = static_cast<float>(levels_[i] / 2);
            values(row, i) = (static_cast<float>(rest % count) - middle) / middle;
            rest /= count;
        }
    }
}

void FsqLattice::margin(Matrix<const float> z, std::span<float> margins) const {
    check(z);
    for (std::size_t row = 0; row < z.rows; ++row) {
        float nearest = std::numeric_limits<float>::infinity();
        for (std::size_t i = 0; i < z.cols; ++i) {
            const float value = z(row, i);
            const auto thresholds = thresholds_[i];
            // Only the threshold on either side of the value can be the nearest.
            const std::size_t above = digit(value, thresholds);
            if (above < thresholds.size()) {
                nearest = std::min(nearest, thresholds[above] - value);
            }
            if (above > 0) {
                nearest = std::min(nearest, value - thresholds[above - 1]);
            }
        }
        margins[row] = nearest;
    }
}

} // namespace conv2d
