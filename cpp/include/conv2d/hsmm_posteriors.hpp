// Probabilities under a hidden semi-Markov model: of states, of segments, of their begins and ends, and the expected
// counts that expectation maximisation needs. What the model is, and what is thrown, stands in hsmm.hpp.
#pragma once

#include "conv2d/hsmm.hpp"

#include <vector>

namespace conv2d {

// Writes P(state at t = k | all frames) to posteriors (T, K), whose rows sum to 1, and returns the log-likelihood:
// the log of the summed weights of all segmentations. Sums are of positive terms only; those left out of a sum are
// together below 2^-54 of it, and those left out of a posterior below 2^-60. Where scores are so large (10^16 and
// more) that rounding outweighs whole timelines, a frame has the state of the most likely one.
double hsmm_forward_backward(Matrix<const double> log_emissions, const HsmmModel &model, Matrix<double> posteriors);

// Writes P(state at t = k | frames 0 .. t) to filtered (T, K): every prefix is taken as right-censored, so that only
// the start of model.censoring matters (right means none, both means left). Returns the log-likelihood of all T
// frames, right-censored.
double hsmm_filter(Matrix<const double> log_emissions, const HsmmModel &model, Matrix<double> filtered);

// Expected counts over all segmentations, given all frames. A segment that an end of the recording cuts off (as
// model.censoring says) is counted by the length that was seen of it, apart from the complete ones.
struct ExpectedCounts {
    double log_likelihood = 0.0;
    std::vector<double> initial;     // (K,) P(first state = k)
    std::vector<double> transitions; // (K, K) changes from i to j
    std::vector<double> durations;   // (K, D) complete segments of d frames, element d - 1
    std::vector<double> cut_left;    // (K, D) segments cut off by the first frame only
    std::vector<double> cut_right;   // (K, D) by the last frame only
    std::vector<double> cut_both;    // (K, D) by both: a single segment over all T frames
};

// Writes posteriors (T, K) as hsmm_forward_backward does.
[[nodiscard]] ExpectedCounts hsmm_expected_counts(Matrix<const double> log_emissions, const HsmmModel &model,
                                                  Matrix<double> posteriors);

// Writes P(the timeline has exactly this segment | all frames) for each of `segments`; returns the log-likelihood.
// Throws when a state, start or end is out of range, naming the row.
double hsmm_segment_posteriors(Matrix<const double> log_emissions, const HsmmModel &model,
                               std::span<const Segment> segments, std::span<double> shares);

// Writes P(a segment in state k begins with frame t) and P(one ends with frame t), both (T, K); returns the
// log-likelihood.
double hsmm_boundary_posteriors(Matrix<const double> log_emissions, const HsmmModel &model, Matrix<double> begins,
                                Matrix<double> ends);

} // namespace conv2d
