// The inner loops of forward-backward, without a logarithm (block floating point).
//
// A weight is a pair, mantissa * 2^exponent; exponents are whole numbers in doubles, and zero has kNoExponent. Places
// are taken in blocks of 8. What stands in the store of a pass are weights divided by the product of all emissions up
// to their place, so that a segment's weight is a product of three: source, duration, place where it ends. Between two
// blocks, 8 places on each side and a chunk of 15 durations make a tile of 64 products, whose sources share one
// exponent, and whose durations share one.
//
// Each pass counts rows in its own direction: row 0 is where it began. Arrays of states are padded to `width`, the
// states that do not exist have zero weights. All arrays of more dimensions are row-major.
#pragma once

#include "dispatch.hpp"

#include <cstddef>

namespace conv2d::simd {

inline constexpr std::size_t kBlockRows = 8;
inline constexpr std::size_t kChunkRows = 16; // 15 durations and a row of zeros
inline constexpr double kUnitBits = 300.0;    // the largest terms of a sum stand near 2^300 of its unit

// Weights of durations. Chunk c, from 1, has the durations 8 c - 7 .. 8 c + 7, divided by 2^top.
struct DurationChunks {
    std::size_t chunks = 0;         // the last has a duration that is possible; 0 when all durations are below 8
    const double *linear = nullptr; // (chunks, 16, width)
    const double *top = nullptr;    // (chunks, width)
    const double *lossy = nullptr;  // (chunks, width), 1 where a weight was too far below the top to be kept
    // Durations within a block, by duration 0 .. 7 (0 is not used): divided by 2^near_top, and as pairs.
    const double *near_linear = nullptr;   // (8, width)
    const double *near_top = nullptr;      // (width,)
    const double *near_lossy = nullptr;    // (width,)
    const double *near_mantissa = nullptr; // (8, width)
    const double *near_exponent = nullptr; // (8, width)
    bool near_is_lossy = false;            // for any state
};

// Products of emissions at the places of one block, and which of its frames each state can be in.
struct EmissionRows {
    double *mantissa;    // (8, width)
    double *inverse;     // (8, width) of the mantissa
    double *exponent;    // (8, width)
    double *possible;    // (8, width) 1 or 0, by frame
    std::ptrdiff_t step; // from a row to the next: width, or -width to lay them down backwards
    bool impossible;     // some state in some frame
};

// One direction of forward-backward: its store, a ring of blocks, and the block in work.
struct Pass {
    std::size_t states, width;
    std::size_t ring; // blocks in the store less one: 2^n - 1
    double *sources;  // (ring + 1, 8, width) weights that go beyond their block, divided by 2^source_top
    double *source_top, *source_lossy; // (ring + 1, width)
    double *barrier;                   // (ring + 1, width) the last block before it in which a state is impossible
    double *mantissa, *exponent;       // (ring + 1, 8, width) the weights one by one, those within the block, too
    // The block in work.
    double *sum, *inner;                    // (8, width) weight that ends at each row, divided by 2^(unit - 300);
                                            // `inner` is what came from other blocks, without the opening
    double *unit, *inner_unit, *sum_lossy;  // (width,)
    double *ended_mantissa, *ended_exponent; // (width,) what ends at the row in work
    double *scratch;                         // (2, width) and 2 chunks of the longest table
    const double *multiply, *divide, *exponent_rows, *possible; // (8, width); row r of an EmissionRows, seen so
    double sign;                                                // that multiply / divide goes with +- exponent_rows
    bool impossible;
    double *ended; // (ring + 1, 8, 2, width) mantissa and exponent of what ends at each row, emissions in; or null
};

// What a pass began with, where its durations are other ones than those of all other segments.
struct Opening {
    const double *mantissa, *exponent; // (width,); null when there is none
    std::size_t row;                   // in block 0
};

// Transition weights divided by 2^exponent.
struct LinearTransitions {
    const double *rows; // (states, width)
    double exponent;
};

struct PosteriorKernels {
    // Products of emissions at places 8 block .. 8 block + 7 from the `product` at the first of them; moves `product`
    // (2, width: mantissa, exponent) to the next block. `readable` doubles lie from the first score on. Writes the largest score of each frame to `offsets`. Returns
    // false when a finite score is too far below the largest for this arithmetic.
    bool (*emissions)(const double *log_emissions, std::size_t frames, std::size_t states, std::size_t width,
                      std::size_t readable, double *product, double *offsets, EmissionRows &rows);
    // Sums for the 8 rows of block `block` what begins in the blocks before it.
    void (*bulk)(Pass &pass, std::size_t block, const DurationChunks &inner, const DurationChunks &opening,
                 const Opening &opened);
    // What ends at a row, before the emissions are multiplied in. Returns whether the sum of some state cannot be
    // trusted: it is small, and small terms of it were lost; `suspect` (width) is 1 for those.
    bool (*end_row)(Pass &pass, std::size_t row, double *suspect);
    // Multiplies the emissions in, changes the states, and begins segments at the row.
    void (*change_row)(Pass &pass, std::size_t block, std::size_t row, const LinearTransitions &transitions,
                       const DurationChunks &inner);
    // Begins segments of the given weights at a row, whose durations are those of `durations`.
    void (*open_row)(Pass &pass, std::size_t row, const double *mantissa, const double *exponent,
                     const DurationChunks &durations);
    // Goes past the frame behind a row.
    void (*leave_row)(Pass &pass, std::size_t row);
    // Closes the block in work: what its rows began becomes sources of the blocks behind it.
    void (*seal)(Pass &pass, std::size_t block);
    // Adds to shares (a ring of share_ring + 1 blocks of 8 rows, width) the posteriors of the inner segments that
    // begin in block `block` of the forward pass. The backward pass has just finished that block. Returns false when
    // this arithmetic cannot hold them.
    bool (*spread)(const Pass &forward, const Pass &backward, std::size_t block, std::size_t blocks,
                   const DurationChunks &inner, double *shares, std::size_t share_ring);
    // Adds to counts (chunks, 16, width) and near_counts (8, width) the expected segments of the same begins, by
    // duration.
    void (*count)(const Pass &forward, const Pass &backward, std::size_t block, std::size_t blocks,
                  const DurationChunks &inner, double *counts, double *near_counts);
    // Adds to counts (states, width) the expected changes between what ends, (2, width), and what follows, (2, width),
    // at one place.
    void (*count_changes)(const double *ends, const double *follows, std::size_t states, std::size_t width,
                          const LinearTransitions &transitions, double *counts);
    // Writes rows of shares (frames, width), each divided by its sum, to posteriors (frames, states).
    void (*finish)(const double *shares, std::size_t frames, std::size_t states, std::size_t width,
                   double *posteriors);
};

CONV2D_DECLARE_KERNELS(PosteriorKernels, posterior_kernels)

[[nodiscard]] inline const PosteriorKernels &posterior_kernels(SimdPath path) {
    return CONV2D_PICK_KERNELS(path, posterior_kernels);
}

} // namespace conv2d::simd
