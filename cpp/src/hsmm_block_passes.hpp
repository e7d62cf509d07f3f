// Forward-backward on weights instead of log scores, by the kernels of simd/posterior_kernels.hpp.
#pragma once

#include "hsmm_duration_chunks.hpp"
#include "hsmm_model.hpp"
#include "hsmm_weight.hpp"
#include "hsmm_workspace.hpp"

#include "conv2d/hsmm_posteriors.hpp"

#include <cstddef>
#include <optional>
#include <vector>

namespace conv2d::detail {

// The store of one direction and its block in work.
class BlockPass {
  public:
    // `ring` blocks are kept; of more, when it wraps, the newest: then a power of two. `keep_ended`: what ends at each
    // place, too.
    BlockPass(std::size_t states, std::size_t width, std::size_t ring, bool wraps, std::size_t chunks, bool keep_ended);

    [[nodiscard]] simd::Pass &state() { return pass_; }
    [[nodiscard]] const simd::Pass &state() const { return pass_; }

    // What began at a row of the pass in a state.
    [[nodiscard]] Weight begun(std::size_t row, std::size_t state) const {
        const std::size_t at =
            ((row / simd::kBlockRows & pass_.ring) * simd::kBlockRows + row % simd::kBlockRows) * pass_.width + state;
        return {pass_.mantissa[at], pass_.exponent[at]};
    }
    void set_begun(std::size_t row, std::size_t state, Weight weight);

  private:
    WorkBlock memory_;
    simd::Pass pass_{};
};

// The matrix of transitions as weights, for change in either direction; one for all frames, or one at a time.
class TransitionRows {
  public:
    TransitionRows(const HsmmModel &model, std::size_t width, bool backward);

    // Of the change into frame `place`. Valid until the next call.
    [[nodiscard]] simd::LinearTransitions at(std::size_t place);

    [[nodiscard]] bool for_all_frames() const { return !each_frame_; }

    // False when two scores of one matrix are too far apart; known of all matrices that were asked for.
    [[nodiscard]] bool within() const { return within_; }

  private:
    void fill(std::size_t place);

    const HsmmModel &model_;
    std::size_t width_;
    bool backward_, each_frame_;
    bool within_ = true;
    WorkBlock rows_;
    double exponent_ = 0.0;
};

// States, and those that do not exist, up to whole vectors of any path.
[[nodiscard]] inline std::size_t padded(std::size_t states) { return (states + 7) / 8 * 8; }

// Whether weights can hold the scores of the first states.
[[nodiscard]] bool initial_within(const HsmmModel &model);

// The products of emissions at the places of one block, as both directions see them.
class BlockEmissions {
  public:
    explicit BlockEmissions(std::size_t width) : width_(width), memory_(width * (4 * simd::kBlockRows + 1 + 2)) {}

    // Of array `which`: mantissa, inverse, exponent, 8 rows each; possible, 9.
    [[nodiscard]] double *row(std::size_t which, std::size_t index) {
        return memory_.data() + (which * simd::kBlockRows + index) * width_;
    }
    [[nodiscard]] double *product() { return memory_.data() + (4 * simd::kBlockRows + 1) * width_; } // (2, width)

  private:
    std::size_t width_;
    WorkBlock memory_;
};

// All counts zero.
[[nodiscard]] ExpectedCounts empty_counts(std::size_t states, std::size_t durations);

struct BlockResult {
    double log_likelihood = 0.0;
    ExpectedCounts counts; // filled when asked for
};

// Log weights at the places of a lattice, as SegmentLattice has them.
struct PlaceWeights {
    double *begun, *follows; // (T, K)
    double *ended, *after;   // (T + 1, K)
    double whole = 0.0;
};

// hsmm_forward_backward and hsmm_expected_counts of a checked model and at least one frame. Nothing when the scores
// are too far apart for weights, or no timeline is possible: then log scores must be taken.
// Fills `places` when they are asked for.
[[nodiscard]] std::optional<BlockResult> block_forward_backward(Matrix<const double> log_emissions,
                                                                const HsmmModel &model, Matrix<double> posteriors,
                                                                bool with_counts, PlaceWeights *places = nullptr);

// hsmm_filter of a checked model with an open end, and at least one frame; memory for D frames. Nothing when the scores
// are too far apart for weights, or a frame is impossible: then log scores must be taken.
[[nodiscard]] std::optional<double> block_filter(Matrix<const double> log_emissions, const HsmmModel &open,
                                                 Matrix<double> filtered);

// hsmm_forward_backward for durations of one frame, a plain hidden Markov model; nothing when its weights are too far
// apart for one exponent a frame, or all zero: then block_forward_backward must be taken.
[[nodiscard]] std::optional<double> markov_forward_backward(Matrix<const double> log_emissions, const HsmmModel &model,
                                                            Matrix<double> posteriors);

} // namespace conv2d::detail
