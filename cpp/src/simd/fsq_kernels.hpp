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
    std::int32_t cells;           // a power of two
    float line_bound, line_scale; // the cells of FsqLine
    std::int32_t line_first;      // cell of the first threshold
    std::int32_t line_cells;      // 0 where there are none
    std::int32_t levels;
    std::int32_t stride; // product of the levels before, within the limb
};

// With few levels, cells can be so chosen that each holds one threshold and the next one the next: then the digit is
// the number of the cell, or one more. Cells are numbered by fma rounded down here. Registers of z are worked on as
// they lie in memory, each lane with the constants of its column; the pattern repeats after 3 registers for 3 columns,
// and is the same in all registers for 1, 2 and 4.
struct alignas(64) FsqLine {
    float bound[3][16], scale[3][16], bias[3][16];
    float thresholds[32]; // of all columns; the bias of each leads to its own
    std::int32_t entries; // of thresholds
    std::int32_t pairs;   // four bytes: 1, L0, 1, L2
    std::int32_t halves;  // two int16: 1, L0 * L1 (1, L0 for 2 columns)
    std::int32_t excess;  // of a code put together from places in the table instead of digits
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
    const FsqLine *line;     // nullptr where there is none
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
