// The forward pass of forward-backward.
#pragma once

#include "hsmm_model.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace conv2d::detail {

// The scores of a change of state at `place`, between frames place - 1 and place.
inline Matrix<const double> transitions_into(const HsmmModel &model, std::size_t place) {
    const std::size_t states = model.log_transitions.cols;
    const bool each_frame = model.log_transitions.rows != states;
    return {model.log_transitions.data + (each_frame ? place * states * states : 0), states, states};
}

// The forward pass: scores of the segments that end at each place, given those that began before it.
class ForwardPass {
  public:
    ForwardPass(Matrix<const double> log_emissions, const HsmmModel &model, const SegmentWeights &weights,
                const FrameOffsets &offsets)
        : log_emissions_(log_emissions), model_(model), weights_(weights), offsets_(offsets),
          ended_(log_emissions.cols), entered_(model.log_initial.begin(), model.log_initial.end()),
          starts_(log_emissions.cols, log_emissions.rows, weights.durations) {
        open(0);
    }

    // Log score of all ways to begin a segment at the place reached last.
    [[nodiscard]] std::span<const double> entered() const { return entered_; }

    // Log score of all ways for a segment to end there, by its state.
    [[nodiscard]] std::span<const double> ended() const { return ended_; }

    // Takes in the frame before place `end`.
    void advance(std::size_t end) {
        const std::size_t t = end - 1;
        for (std::size_t k = 0; k < ended_.size(); ++k) {
            starts_.advance(t, k, log_emissions_(t, k) - offsets_[t]);
        }
    }

    // Log score of all ways to end at place `end`, by final state: there the recording ends, too.
    [[nodiscard]] std::span<const double> end_recording(std::size_t end) {
        for (std::size_t k = 0; k < ended_.size(); ++k) {
            ended_[k] = end_segments(end, k, weights_.last(k), weights_.whole(k));
        }
        return ended_;
    }

    // Ends segments at place `end` and begins the next ones there.
    void change_state(std::size_t end) {
        for (std::size_t k = 0; k < ended_.size(); ++k) {
            ended_[k] = end_segments(end, k, weights_.inner(k), weights_.first(k));
        }
        enter_states(ended_, transitions_into(model_, end), entered_);
        open(end);
    }

  private:
    void open(std::size_t place) {
        for (std::size_t k = 0; k < entered_.size(); ++k) {
            starts_.open(place, k, entered_[k]);
        }
    }

    [[nodiscard]] double end_segments(std::size_t end, std::size_t state, const double *later,
                                      const double *opening) const {
        const double *places = starts_.nearest_first(end, state);
        double score = log_sum_exp(places, later, std::min(end - 1, weights_.durations));
        if (end <= weights_.durations) {
            score = log_add_exp(score, places[end - 1] + opening[end - 1]);
        }
        return starts_.sum(state) + score;
    }

    Matrix<const double> log_emissions_;
    const HsmmModel &model_;
    const SegmentWeights &weights_;
    const FrameOffsets &offsets_;
    std::vector<double> ended_;
    std::vector<double> entered_;
    OpenPlaces starts_;
};

inline double log_sum(std::span<const double> scores) {
    double largest = kNever;
    for (const double score : scores) {
        largest = std::max(largest, score);
    }
    double sum = 0.0;
    for (const double score : scores) {
        sum += largest == kNever ? 0.0 : std::exp(score - largest);
    }
    return largest == kNever ? kNever : largest + std::log(sum);
}

} // namespace conv2d::detail
