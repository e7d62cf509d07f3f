// The hot loops of the Viterbi pass. States lie in lanes: a group holds 8 of them, or 4 where no more are left, so
// that the tail of 12 states costs half a vector. Lanes beyond the last state hold -inf.
//
// Frames come in blocks of 8, aligned to frame 0. What places before the block add to the 8 ends of the block is
// gathered at once, which loads every score and every weight once for 8 maxima; the places within the block follow one
// by one. Maxima do not depend on their order, so neither do the results on the path, nor on what was skipped.
#pragma once

#include "dispatch.hpp"

#include <cstddef>

namespace conv2d::simd {

inline constexpr std::size_t kViterbiBlock = 8;   // frames a block
inline constexpr std::size_t kViterbiCoarse = 64; // places that one bound covers, and
inline constexpr std::size_t kViterbiFine = 16;   // that a second, tighter one does

// What is added to the height of a slope, times the largest magnitude below it, covers what rounding adds to the
// scores, to the bounds and to their sums.
inline constexpr double kViterbiSlopeMargin = 0x1p-42;

// Rows are `width` doubles wide. Place numbers count from the place of row 0, which is a multiple of kViterbiCoarse.
struct ViterbiGroup {
    std::size_t width; // 8 or 4
    std::size_t first; // its first state; lane numbers of all groups make up a padded row
    double *open;      // by place: scores of beginning there, less the sum there
    double *fine_max;  // largest of each kViterbiFine and kViterbiCoarse places
    double *coarse_max;
    const double *weights;       // by duration, from kViterbiBlock rows of -inf before duration 0 on
    const double *fine_weight;   // largest weight between the places of a bound and the ends of a block, by their
    const double *coarse_weight; // distance in blocks
    // A tighter bound for what lies on a slope: places 0 .. 15 of a fine bound are at most height + slope * (i - 7.5),
    // and weights of that distance at most height + slope * (d - d0), where d0 leads from the middle to the middle.
    // Null where there are too few places for it to pay.
    double *fine_height;
    double *fine_slope;
    const double *weight_height;
    const double *weight_slope;
    const double *opening; // by duration: weights of a segment that began at place 0
    const double *initial; // (width,) scores of place 0, less the sum there
    double *pending;       // (8, width) by end of the block: largest score seen, less the sum there
    // The same by state, one row a state: scores by place up to the last whole block, and weights from the longest
    // duration down to the shortest, which a duration of `zero` would follow; with -inf before the longest.
    double *turned;
    std::size_t turned_stride;
    const double *backwards;
    std::size_t backwards_stride;
    std::size_t zero;
};

struct ViterbiBlock {
    const ViterbiGroup *groups;
    std::size_t groups_count;
    std::size_t states;
    std::size_t padded;           // lanes of all groups
    std::size_t durations;        // the longest
    std::size_t start;            // place of the block's first frame, counted from row 0
    std::size_t passed;           // that place in the recording is start + passed
    const double *most;           // (padded,) largest transition out of each state; null where they differ by frame
    std::size_t *sources;         // scratch: (states,)
    std::size_t *rivals;          // (2,) states that may rule out others; which ones decides the time it takes only
    const double *transitions;    // (states, padded)
    std::size_t transitions_step; // from the matrix of one frame to that of the next
    const double *emissions;      // (8, padded) less the largest of their frame
    double *sums;                 // (padded,) emissions since the last shift
    double *ended;                // (padded,)
    double *written;              // (8, padded) scores of the block's places as they were written first
    bool moved;                   // whether they were moved since, unlike those in `open`
    double *places;               // where these are kept for the traceback: 8 doubles a state
    std::size_t places_stride;    // from those of one state to those of the next
    double *ends;                 // (8, padded) where `ended` is kept as the change of state saw it
    double *bounds;               // scratch: a row of 8 for each kViterbiCoarse places that are held
    unsigned char *done;          // scratch: one for each of them
    unsigned char *origins;       // (8, padded) where the states before are kept, when all segments are of one frame
    unsigned *listed;             // scratch: for each of 8 states, room for the kViterbiFine places that are held
    std::size_t listed_stride;
    double limit; // sums beyond it must be shifted first
    bool pruned;  // whether bounds are kept and used
};

// The largest of places[i] + amounts.. + weights[i], added in this order, and the last i that reaches it.
struct ViterbiBest {
    double value;
    std::size_t index;
};

struct ViterbiKernels {
    // Emissions less the largest of their frame, padded with 0; offsets[r] gets what was taken from row r. False when
    // a score is NaN, +inf or beyond +-1e200.
    bool (*center)(const double *emissions, std::size_t rows, std::size_t states, std::size_t padded, double *out,
                   double *offsets) noexcept;
    // Whether all n are log scores: within +-1e200 or -inf.
    bool (*valid)(const double *values, std::size_t n) noexcept;
    // pending of all 8 ends from the places before the block.
    void (*gather)(const ViterbiBlock &block, const ViterbiGroup &group) noexcept;
    // pending of the ends after frame r of the block from the place of frame r, whose row must be written.
    void (*relax)(const ViterbiBlock &block, const ViterbiGroup &group, std::size_t r) noexcept;
    // Frames from .. to - 1 of the block. Stops early after beginning the segments of a frame that takes a sum beyond
    // the limit; returns the frame at which it stopped, or `to`.
    std::size_t (*advance)(const ViterbiBlock &block, std::size_t from, std::size_t to) noexcept;
    // Frames from .. to - 1 of the block where every segment is of one frame. Of states beyond 256 no origin is kept.
    void (*advance_plain)(const ViterbiBlock &block, std::size_t from, std::size_t to) noexcept;
    // Copies the block's places to `turned` and to where they are kept.
    void (*turn)(const ViterbiBlock &block) noexcept;
    // fine_height and fine_slope of the fine bounds first .. last - 1.
    void (*slope)(const ViterbiGroup &group, std::size_t first, std::size_t last) noexcept;
    // Index n when nothing is larger than `least`.
    ViterbiBest (*best)(const double *places, const double *weights, std::size_t n, const double *amounts,
                        std::size_t amounts_count, double least) noexcept;
    // Begins segments at frame r only.
    void (*enter)(const ViterbiBlock &block, std::size_t r) noexcept;
};

CONV2D_DECLARE_KERNELS(ViterbiKernels, kViterbiKernels)

[[nodiscard]] inline const ViterbiKernels &viterbi_kernels(SimdPath path) {
    return CONV2D_PICK_KERNELS(path, kViterbiKernels);
}

} // namespace conv2d::simd
