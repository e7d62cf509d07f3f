#include "conv2d/fsq.hpp"

#include "fsq_levels.hpp"
#include "simd/fsq_kernels.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace conv2d::simd {
namespace {

const FsqKernels &kernels() { return CONV2D_PICK_KERNELS(simd_path(), fsq_kernels); }

} // namespace
} // namespace conv2d::simd

namespace conv2d {

namespace {

// Division by a number of levels as a multiplication: exact below 2^31, as the factor is less than L * 2^(shift - 31)
// too large (Granlund and Montgomery 1994).
struct Reciprocal {
    std::uint64_t factor = 0;
    int shift = 0;

    explicit Reciprocal(std::uint32_t levels) : shift(31 + static_cast<int>(std::bit_width(levels - 1))) {
        factor = (std::uint64_t{1} << shift) / levels + 1;
    }
    [[nodiscard]] std::uint32_t divide(std::uint32_t number) const noexcept {
        return static_cast<std::uint32_t>(number * factor >> shift);
    }
};

} // namespace

struct FsqLattice::Tables {
    std::vector<simd::FsqColumn> columns;
    std::vector<Reciprocal> reciprocals;
    std::vector<simd::FsqLimb> limbs;
    simd::FsqLine line{};
    simd::FsqPlan plan{};
    std::uint64_t size = 1;
};

struct FsqLattice::Outputs : simd::FsqOutputs {
    [[nodiscard]] Outputs from(std::size_t row, std::size_t dimensions) const noexcept {
        Outputs rest = *this;
        rest.codes32 = codes32 != nullptr ? codes32 + row : nullptr;
        rest.codes64 = codes64 != nullptr ? codes64 + row : nullptr;
        rest.values = values != nullptr ? values + row * dimensions : nullptr;
        rest.margins = margins != nullptr ? margins + row : nullptr;
        return rest;
    }
    void set(std::int32_t *codes) noexcept { codes32 = codes; }
    void set(std::int64_t *codes) noexcept { codes64 = codes; }
};

namespace {

// The places in one table for up to 4 columns; columns of as many levels share theirs. False where there is no room.
bool fill_line(std::span<const simd::FsqColumn> columns, simd::FsqLine &line) {
    if (columns.size() > 4) {
        return false;
    }
    std::fill(std::begin(line.thresholds), std::end(line.thresholds), std::numeric_limits<float>::quiet_NaN());
    std::int32_t places[4]; // of the first threshold
    for (std::size_t i = 0; i < columns.size(); ++i) {
        const simd::FsqColumn &column = columns[i];
        const auto same = std::find_if(columns.begin(), columns.begin() + static_cast<std::ptrdiff_t>(i),
                                       [&](const auto &other) { return other.levels == column.levels; });
        const auto first = static_cast<std::size_t>(same - columns.begin());
        places[i] = first < i ? places[first] : line.entries;
        if (column.line_cells == 0 || (first == i && line.entries + column.line_cells > 32)) {
            return false;
        }
        if (first == i) {
            std::copy_n(column.edges + 1, column.levels - 1, line.thresholds + line.entries);
            line.entries += column.line_cells;
        }
        line.excess += places[i] * column.stride;
    }
    for (std::size_t place = 0; place < 48; ++place) {
        const std::size_t i = place % columns.size();
        line.bound[place / 16][place % 16] = columns[i].line_bound;
        line.scale[place / 16][place % 16] = columns[i].line_scale;
        // Floats from 2^23 on are the integers, and hold them in their low bits.
        line.bias[place / 16][place % 16] = 0x1p23f + static_cast<float>(places[i] - columns[i].line_first);
    }
    const auto levels = [&](std::size_t i) { return i < columns.size() ? columns[i].levels : 1; };
    line.pairs = 0x00010001 | levels(0) << 8 | (columns.size() > 3 ? levels(2) << 24 : 0);
    line.halves = 1 | (columns.size() == 2 ? levels(0) : levels(0) * levels(1)) << 16;
    return true;
}

} // namespace

FsqLattice::FsqLattice(std::span<const std::int64_t> levels) {
    if (levels.empty()) {
        throw std::invalid_argument("levels is empty, expected one number of levels for each dimension");
    }
    constexpr std::uint64_t kLimit = std::uint64_t{1} << 63;
    constexpr std::uint64_t kLimbLimit = 0x7fffffffu;
    auto tables = std::make_shared<Tables>();
    tables->columns.reserve(levels.size());
    std::uint64_t in_limb = 1; // product of the levels of the columns of the last limb
    for (const std::int64_t count : levels) {
        simd::FsqColumn column = detail::fsq_level_tables(count).column;
        const auto factor = static_cast<std::uint64_t>(count);
        if (tables->size > kLimit / factor) {
            throw std::invalid_argument("levels make a lattice of more than 2^63 points, expected codes that fit "
                                        "int64; use fewer dimensions or levels");
        }
        if (tables->limbs.empty() || in_limb > kLimbLimit / factor) {
            tables->limbs.push_back({0, tables->size});
            in_limb = 1;
        }
        ++tables->limbs.back().columns;
        column.stride = static_cast<std::int32_t>(in_limb);
        tables->columns.push_back(column);
        tables->reciprocals.emplace_back(static_cast<std::uint32_t>(count));
        in_limb *= factor;
        tables->size *= factor;
        tables->plan.most_cells = std::max(tables->plan.most_cells, column.cells);
    }
    tables->plan.columns = tables->columns.data();
    tables->plan.dimensions = tables->columns.size();
    tables->plan.limbs = tables->limbs.data();
    tables->plan.limb_count = tables->limbs.size();
    tables->plan.line = fill_line(tables->columns, tables->line) ? &tables->line : nullptr;
    tables_ = std::move(tables);
}

std::size_t FsqLattice::dimensions() const noexcept { return tables_->plan.dimensions; }

std::uint64_t FsqLattice::size() const noexcept { return tables_->size; }

void FsqLattice::run(Matrix<const float> z, const Outputs &out) const {
    const auto quantize = simd::kernels().quantize;
    const std::size_t done = quantize(tables_->plan, z.data, z.rows, out);
    if (done == z.rows) {
        return;
    }
    const float *const end = z.data + z.rows * z.cols;
    const auto at = std::find_if(z.data + done * z.cols, end, [](float value) { return is_nan(value); });
    const auto place = static_cast<std::size_t>(at - z.data);
    const std::size_t row = place / z.cols;
    quantize(tables_->plan, z.data + done * z.cols, row - done, out.from(done, z.cols));
    throw std::invalid_argument("z row " + std::to_string(row) + ", column " + std::to_string(place % z.cols) +
                                " is nan, expected numbers; leave out windows with missing samples, or ask for the "
                                "sentinel");
}

template <typename Code> void FsqLattice::encode(Matrix<const float> z, std::span<Code> codes, FsqNan nan) const {
    Outputs out{};
    out.set(codes.data());
    out.sentinel = nan == FsqNan::sentinel;
    run(z, out);
}

void FsqLattice::margin(Matrix<const float> z, std::span<float> margins, FsqNan nan) const {
    Outputs out{};
    out.margins = margins.data();
    out.sentinel = nan == FsqNan::sentinel;
    run(z, out);
}

template <typename Code> void FsqLattice::quantize(Matrix<const float> z, std::span<Code> codes, Matrix<float> values,
                                                   std::span<float> margins, FsqNan nan) const {
    Outputs out{};
    out.set(codes.data());
    out.values = values.data;
    out.margins = margins.data();
    out.sentinel = nan == FsqNan::sentinel;
    run(z, out);
}

template <typename Code> void FsqLattice::decode(std::span<const Code> codes, Matrix<float> values, FsqNan nan) const {
    const std::uint64_t lowest = nan == FsqNan::sentinel ? 1 : 0; // added, it makes -1 the first code
    for (std::size_t row = 0; row < codes.size(); ++row) {
        const auto code = static_cast<std::uint64_t>(static_cast<std::int64_t>(codes[row]));
        if (code + lowest >= size() + lowest) {
            throw std::invalid_argument("codes row " + std::to_string(row) + " is " + std::to_string(codes[row]) +
                                        ", expected " + (lowest != 0 ? "-1" : "0") + " to " +
                                        std::to_string(size() - 1) + " for these levels");
        }
    }
    const simd::FsqColumn *const columns = tables_->columns.data();
    const Reciprocal *const reciprocals = tables_->reciprocals.data();
    const std::size_t d = dimensions();
    const bool narrow = fits_int32();
    float *to = values.data;
    for (std::size_t row = 0; row < codes.size(); ++row, to += d) {
        if (codes[row] < 0) {
            std::fill_n(to, d, std::numeric_limits<float>::quiet_NaN());
        } else if (narrow) {
            auto rest = static_cast<std::uint32_t>(codes[row]);
            for (std::size_t i = 0; i < d; ++i) {
                const std::uint32_t above = reciprocals[i].divide(rest);
                to[i] = columns[i].values[rest - above * static_cast<std::uint32_t>(columns[i].levels)];
                rest = above;
            }
        } else {
            auto rest = static_cast<std::uint64_t>(codes[row]);
            for (std::size_t i = 0; i < d; ++i) {
                const auto count = static_cast<std::uint64_t>(columns[i].levels);
                to[i] = columns[i].values[rest % count];
                rest /= count;
            }
        }
    }
}

template void FsqLattice::encode(Matrix<const float>, std::span<std::int32_t>, FsqNan) const;
template void FsqLattice::encode(Matrix<const float>, std::span<std::int64_t>, FsqNan) const;
template void FsqLattice::decode(std::span<const std::int32_t>, Matrix<float>, FsqNan) const;
template void FsqLattice::decode(std::span<const std::int64_t>, Matrix<float>, FsqNan) const;
template void FsqLattice::quantize(Matrix<const float>, std::span<std::int32_t>, Matrix<float>, std::span<float>,
                                   FsqNan) const;
template void FsqLattice::quantize(Matrix<const float>, std::span<std::int64_t>, Matrix<float>, std::span<float>,
                                   FsqNan) const;

} // namespace conv2d
