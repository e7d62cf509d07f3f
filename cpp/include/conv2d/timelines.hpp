// More than the one most likely timeline of a hidden semi-Markov model: the k best, and the one of least expected loss.
//
// Models, scores and errors are those of hsmm.hpp.
#pragma once

#include "conv2d/hsmm.hpp"

#include <cstdint>
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

} // namespace conv2d
