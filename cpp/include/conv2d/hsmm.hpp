// Hidden semi-Markov models with explicit durations (Yu 2010), in log space and double precision.
//
// A recording of T frames is a sequence of segments. A segment in state k of d frames scores
//     log_durations(k, d - 1) + sum of log_emissions(t, k) over its frames,
// and a change from state i to state j scores log_transitions(i, j); self-transitions count like any other. Scores
// are natural logs, finite or -inf (impossible). They need not be normalised: rows are taken as log weights.
//
// Every function is O(T K (K + D)) in time and O(T K + K D) in memory, and throws std::invalid_argument with one
// sentence on shapes that do not match, on NaN and +inf, and when no sequence of segments has a finite score.
#pragma once

#include "conv2d/numeric.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace conv2d {

// Which ends of the recording cut a segment off. With G(k, d) the survivor P(duration >= d) and E(k) its sum over d,
// which is the mean duration:
//   right  the last segment scores log G instead of the duration itself
//   left   equilibrium: log_initial is the distribution of the state at frame 0, the first segment scores log (G / E)
//   both   the two together; a single segment over all T frames scores log (sum of G(k, u) over u >= T) - log E
enum class Censoring { none, right, left, both };

struct HsmmModel {
    // (K, K), from row to column; or (T * K, K), one matrix a frame: rows t * K .. t * K + K - 1 score the change into
    // frame t, and the first matrix is not used.
    Matrix<const double> log_transitions;
    std::span<const double> log_initial;  // (K,)
    Matrix<const double> log_durations;   // (K, D), column 0 is a duration of one frame
    Censoring censoring = Censoring::none;
};

struct Segment {
    std::int64_t state;
    std::int64_t start;
    std::int64_t end; // exclusive
    bool operator==(const Segment &) const = default;
};

struct Timeline {
    double score = 0.0; // log score of the path as the recursion adds it up; 0 for T = 0
    std::vector<Segment> segments;
};

// The most likely segmentation. Equal scores are decided from the end backwards: the smallest final state, then the
// smallest duration of the last segment, then the smallest state before it, its smallest duration, and so on.
[[nodiscard]] Timeline hsmm_viterbi(Matrix<const double> log_emissions, const HsmmModel &model);

} // namespace conv2d
