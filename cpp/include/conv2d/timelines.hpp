// More than the one most likely timeline of a hidden semi-Markov model: the k best, and the one of least expected loss.
//
// Models, scores and errors are those of hsmm.hpp.
#pragma once

#include "conv2d/hsmm.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace conv2d {

// When two of the k best count as one. A model with self-transitions can cut one stretch of a label into touching
// segments in many ways; who looks at the labels sees one timeline.
enum class Distinct {
    segments, // two segmentations that differ anywhere are two
    labels,   // timelines that give every frame the same label are one: its touching segments of one label are joined,
              // and it scores what the best of its segmentations does
};

// The k best timelines in descending order of score, fewer when fewer have a finite score. Exact: the first is that of
// hsmm_viterbi, and no timeline that is left out scores more than the last. Equal scores come in the order in which
// hsmm_viterbi decides: from the end backwards the smallest state, then the smallest duration (under Distinct::labels:
// of the joined segments).
//
// Lazily, over one forward pass that is kept (Huang and Chiang 2005; Jimenez and Marzal 1999): every place and state
// lists its ways to be reached only as far as they are asked for. Viterbi, then O((D + K) log k) for each place and
// state that one of the k timelines uses, instead of k forward passes. Memory O(T K) beside the timelines.
//
// Throws std::invalid_argument as hsmm_viterbi does, and when count is 0.
[[nodiscard]] std::vector<Timeline> hsmm_kbest(Matrix<const double> log_emissions, const HsmmModel &model,
                                               std::size_t count, Distinct distinct = Distinct::segments);

// A timeline chosen for what it is expected to get right.
struct Decision {
    Timeline timeline;     // the best segmentation of the labels that were chosen, with the score of hsmm_viterbi
    double expected = 1.0; // accuracy or F1 if the truth were drawn from the model given all frames; 1 for T = 0
};

// The timeline with the largest expected share of right frames: of all that the model holds possible (finite emissions,
// transitions and durations) the one whose states have the largest sum of posteriors. The state with the largest
// posterior of each frame alone has the same expectation or a larger one, but may change where no change is possible
// and last as no segment can. Exact. Forward-backward and two passes of O(T K (K + D)).
[[nodiscard]] Decision hsmm_mbr_samples(Matrix<const double> log_emissions, const HsmmModel &model);

// The timeline with the largest expected F1 of its segments. What counts as a segment is a run of one label: touching
// segments of one state are joined. A run is right when the truth has a run of its label whose intersection with it is
// at least `overlap` of their union; with an overlap of 0.5 or more at most one of the truth can be, and it can be for
// one only. The expectation is taken of numerator and denominator,
//     2 E[right runs] / (runs + E[true runs]),
// which is what the F1 of counts pooled over many recordings tends to. Found by Dinkelbach's iteration (1967): for a
// fixed price of a run the best timeline is a shortest path.
//
// Of timelines with nearly the same expected F1 the more accurate one is taken: an F1 of 0.01 at most is given up for
// an accuracy of 1 (an overlap of a half alone would leave boundaries where they happen to fall).
//
// Exact up to 256 frames but for probabilities below 1e-5. Beyond that runs begin and end at chosen places only: every
// quarter of an expected boundary, peaks of the posterior of boundaries, and the boundaries of the timelines of
// hsmm_viterbi and hsmm_mbr_samples, than which the result is never worse. A run then spans at most 32 of these places.
// Forward-backward, O(D) for each place where a run may begin, and O(length) for each run that is considered.
//
// Throws as hsmm_viterbi does, and when overlap is not within 0.5 .. 1.
[[nodiscard]] Decision hsmm_mbr_segments(Matrix<const double> log_emissions, const HsmmModel &model,
                                         double overlap = 0.5);

// What a timeline of this state a frame (T of them) is expected to get right, as the decisions above count it. It need
// not be possible. Throws as they do, and when a state is out of range.
struct Expectation {
    double accuracy = 1.0;
    double f1 = 1.0;
};
[[nodiscard]] Expectation hsmm_expected_scores(Matrix<const double> log_emissions, const HsmmModel &model,
                                               std::span<const std::int64_t> states, double overlap = 0.5);

} // namespace conv2d
