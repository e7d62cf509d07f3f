// All segmentations of one recording, weighted: what forward-backward leaves behind to ask about single segments.
#pragma once

#include "hsmm_model.hpp"

#include "conv2d/hsmm_posteriors.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace conv2d::detail {

// Looks at the emissions and the model for as long as it lives. Places lie between frames: 0 before the first frame,
// T behind the last; a segment of frames start .. end - 1 begins at place `start` and ends at place `end`. O(T K)
// memory.
class SegmentLattice {
  public:
    // Both passes. Throws as hsmm_forward_backward does.
    SegmentLattice(Matrix<const double> log_emissions, const HsmmModel &model);

    [[nodiscard]] std::size_t frames() const { return log_emissions_.rows; }
    [[nodiscard]] std::size_t states() const { return log_emissions_.cols; }
    [[nodiscard]] std::size_t longest() const { return weights_.durations; } // min(D, T)
    [[nodiscard]] double log_likelihood() const { return log_likelihood_; }

    // (T, K), P(state at t = k); rows sum to 1.
    [[nodiscard]] Matrix<const double> posteriors() const { return {posteriors_.data(), frames(), states()}; }

    // P(a segment in `state` begins at place `start`), start < T; P(one ends at place `end`), 0 < end <= T.
    [[nodiscard]] double begins(std::size_t start, std::size_t state) const;
    [[nodiscard]] double ends(std::size_t end, std::size_t state) const;

    // P(the timeline has exactly this segment), O(its frames). Needs start < end <= T; 0 when longer than D.
    [[nodiscard]] double segment(std::size_t state, std::size_t start, std::size_t end) const;

    // The same for all segments that begin at one place: shares[d - 1] for d = 1 .. shares.size(), O(their number).
    // shares.size() must not go beyond min(longest(), T - start).
    void segments_from(std::size_t state, std::size_t start, std::span<double> shares) const;

    // Log weights, on a common scale: of all up to a segment of `state` that ends at place `end`, of a segment that
    // begins at place `start` and all behind it, of a frame, of the whole.
    [[nodiscard]] double log_ended(std::size_t end, std::size_t state) const { return ended_[end * states() + state]; }
    [[nodiscard]] double log_follows(std::size_t start, std::size_t state) const {
        return follows_[start * states() + state];
    }
    [[nodiscard]] double log_frame(std::size_t t, std::size_t state) const {
        return log_emissions_(t, state) - offsets_[t];
    }
    [[nodiscard]] double log_whole() const { return evidence_; }
    [[nodiscard]] const SegmentWeights &weights() const { return weights_; }
    [[nodiscard]] const HsmmModel &model() const { return model_; }

    // Expected changes from one state to another at place `place`, 0 < place < T.
    [[nodiscard]] double change(std::size_t place, std::size_t from, std::size_t to) const;

  private:
    void pass_by_scores();
    void normalise();
    [[nodiscard]] double weight(std::size_t state, std::size_t start, std::size_t end) const;

    Matrix<const double> log_emissions_;
    const HsmmModel &model_;
    SegmentWeights weights_;
    FrameOffsets offsets_;
    double log_likelihood_ = 0.0;
    double evidence_ = 0.0; // the same less the offsets
    std::vector<double> posteriors_;
    std::vector<double> begun_;   // (T, K) log weight of all that leads to a segment beginning at (start, state)
    std::vector<double> follows_; // (T, K) log weight of that segment and all behind it
    std::vector<double> ended_;   // (T + 1, K) log weight of all up to a segment ending at (end, state)
    std::vector<double> after_;   // (T + 1, K) log weight of all behind it
};

// The expected counts, from all segments of the lattice.
[[nodiscard]] ExpectedCounts expected_counts(const SegmentLattice &lattice, const HsmmModel &model);

} // namespace conv2d::detail
