#include "fsq_levels.hpp"

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
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

float from_rank(std::uint32_t rank) noexcept {
    return std::bit_cast<float>((rank & kSign) != 0 ? rank ^ kSign : ~rank);
}

std::uint32_t to_rank(float value) noexcept {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    return (bits & kSign) != 0 ? ~bits : bits ^ kSign;
}

std::vector<float> find_thresholds(std::int64_t levels) {
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

std::size_t cell_of(float z, const simd::FsqColumn &column) noexcept {
    const float within = std::max(std::min(z, column.bound), -column.bound);
    const auto bits = std::bit_cast<std::uint32_t>(std::fma(within, column.scale, column.bias));
    return bits & (static_cast<std::uint32_t>(column.cells) - 1);
}

// Doubles the number of cells until none holds two thresholds.
void cut_into_cells(std::span<const float> thresholds, detail::FsqLevelTables &tables) {
    constexpr std::int32_t kMostCells = 1 << 16;
    simd::FsqColumn &column = tables.column;
    column.bound = std::max(std::abs(thresholds.front()), std::abs(thresholds.back()));
    for (column.cells = 16; column.cells <= kMostCells; column.cells *= 2) {
        const auto half = static_cast<float>(column.cells / 2);
        column.scale = (half - 0.6f) / column.bound; // 0.6: the bound itself still rounds to an inner cell
        column.bias = 0x1p23f + half; // floats of this size are the integers, and hold them in their low bits
        tables.cell_threshold.assign(static_cast<std::size_t>(column.cells), kNan);
        bool alone = true;
        for (const float threshold : thresholds) {
            float &place = tables.cell_threshold[cell_of(threshold, column)];
            alone = alone && is_nan(place);
            place = threshold;
        }
        if (alone) {
            tables.cell_digits.clear();
            std::int32_t below = 0;
            for (const float threshold : tables.cell_threshold) {
                tables.cell_digits.push_back(below);
                below += is_nan(threshold) ? 0 : 1;
            }
            return;
        }
    }
    throw std::logic_error("two FSQ thresholds of " + std::to_string(thresholds.size() + 1) + " levels lie too close");
}

// Looks for equal cells from 0 on, both ways, that take the thresholds one by one. There are some up to 9 levels.
// Beyond the last threshold there may be one cell more.
void draw_line(std::span<const float> thresholds, simd::FsqColumn &column) {
    const float reach = std::max(std::abs(thresholds.front()), std::abs(thresholds.back()));
    const auto cell = [](float within, float scale) { // exact: a product of two floats is a double
        return static_cast<std::int64_t>(std::floor(static_cast<double>(within) * static_cast<double>(scale)));
    };
    for (int finer = 0; finer < 400; ++finer) {
        const float scale = static_cast<float>(thresholds.size()) * (0.1f + 0.005f * static_cast<float>(finer)) / reach;
        const std::int64_t first = cell(thresholds.front(), scale);
        std::int64_t next = first;
        bool one_by_one = true;
        for (const float threshold : thresholds) {
            one_by_one = one_by_one && cell(threshold, scale) == next++;
        }
        for (int wider = 0; one_by_one && wider < 100; ++wider) {
            const float bound = reach * (0.5f + 0.01f * static_cast<float>(wider));
            const std::int64_t last = cell(bound, scale);
            if (cell(-bound, scale) == first && (last == next - 1 || last == next)) {
                column.line_bound = bound;
                column.line_scale = scale;
                column.line_first = static_cast<std::int32_t>(first);
                column.line_cells = static_cast<std::int32_t>(last - first + 1);
                return;
            }
        }
    }
}

void fill(std::int64_t levels, detail::FsqLevelTables &tables) {
    const std::vector<float> thresholds = find_thresholds(levels);
    cut_into_cells(thresholds, tables);
    draw_line(thresholds, tables.column);
    const auto count = static_cast<std::size_t>(levels);
    tables.edges.assign(std::max(count + 1, simd::kFsqPadded + 1), kNan);
    std::copy(thresholds.begin(), thresholds.end(), tables.edges.begin() + 1);
    tables.values.assign(std::max(count, simd::kFsqPadded), kNan);
    const auto middle = static_cast<float>(levels / 2);
    for (std::size_t digit = 0; digit < count; ++digit) {
        tables.values[digit] = (static_cast<float>(digit) - middle) / middle;
    }
    for (std::size_t short_of = tables.cell_threshold.size(); short_of < simd::kFsqPadded; ++short_of) {
        tables.cell_threshold.push_back(kNan);
        tables.cell_digits.push_back(0);
    }
    simd::FsqColumn &column = tables.column;
    column.edges = tables.edges.data();
    column.values = tables.values.data();
    column.cell_threshold = tables.cell_threshold.data();
    column.cell_digits = tables.cell_digits.data();
    column.levels = static_cast<std::int32_t>(levels);
}

} // namespace

const detail::FsqLevelTables &detail::fsq_level_tables(std::int64_t levels) {
    static std::array<std::once_flag, kMaxLevels + 1> found;
    static std::array<FsqLevelTables, kMaxLevels + 1> tables;
    if (levels < kMinLevels || levels > kMaxLevels) {
        throw std::invalid_argument("levels holds " + std::to_string(levels) + ", expected 2 to 255 in each dimension");
    }
    const auto index = static_cast<std::size_t>(levels);
    std::call_once(found[index], [&] { fill(levels, tables[index]); });
    return tables[index];
}

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
    return {detail::fsq_level_tables(levels).column.edges + 1, static_cast<std::size_t>(levels - 1)};
}

} // namespace conv2d
