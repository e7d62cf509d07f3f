// What the FSQ kernels work on: the tables of a lattice as plain pointers.
//
// A digit is the number of thresholds <= z. Few thresholds are simply counted. Else the line is cut into cells, so fine
// that none holds two thresholds: cell(z) = integer of fma(z cut to +-bound, scale, bias), kept in the low bits of that
// float. It never falls as z rises (every rounding is monotone), and thresholds are put into cells by the same
// arithmetic, so digit(z) = digits below the cell + (z >= the threshold of the cell) is exact, whatever scale is.
#pragma once

#include "dispatch.hpp"

#include <cstddef>
#include <cstdint>

namespace conv2d::simd {

inline constexpr std::size_t kFsqPadded = 32; // no table is shorter, so that whole registers can be loaded

struct FsqColumn {
    const float *edges;              // NaN, the thresholds, NaN: edges[digit] <= z < edges[digit + 1]
    const float *values;             // dequantised, of each digit
    const float *cell_threshold;     // NaN where a cell has none
    const std::int32_t *cell_digits; // digits below the cell
    float bound, scale, bias;
    std::int32_t cells; // a power of two
    std::int32_t levels;
    std::int32_t stride; // product of the levels before, within the limb
};

// A run of columns whose part of the code fits int32; a code of 64 bits is put together from limbs.
struct FsqLimb {
    std::size_t columns;
    std::uint64_t stride;
};

struct FsqPlan {
    const FsqColumn *columns;
    std::size_t dimensions;
    const FsqLimb *limbs;
    std::size_t limb_count;
    std::int32_t most_cells; // of any column
};

// Each may be nullptr. Of codes at most one is given, codes32 only where the lattice has one limb.
struct FsqOutputs {
    std::int32_t *codes32 = nullptr;
    std::int64_t *codes64 = nullptr;
    float *values = nullptr;
    float *margins = nullptr;
    bool sentinel = false; // a row with NaN gets the code -1, NaN values and margin; else it ends the work
};

struct FsqKernels {
    // Works on rows in order. Returns `rows`, or, unless `sentinel` is set, less when it met NaN: a row at or shortly
    // before the first that holds one. All before that row is written, and nothing from it on.
    std::size_t (*quantize)(const FsqPlan &plan, const float *z, std::size_t rows, const FsqOutputs &out) noexcept;
};

CONV2D_DECLARE_KERNELS(FsqKernels, fsq_kernels)

} // namespace conv2d::simd
