#include "hsmm_model.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>

namespace conv2d {
namespace {

using detail::FrameOffsets;
using detail::OpenPlaces;
using detail::SegmentWeights;

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
        detail::enter_states(ended_, model_.log_transitions, entered_);
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
        double score = detail::log_sum_exp(places, later, std::min(end - 1, weights_.durations));
        if (end <= weights_.durations) {
            score = detail::log_add_exp(score, places[end - 1] + opening[end - 1]);
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

double log_sum(std::span<const double> scores) {
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

// The model with an open end: what holds for a recording that is still going on.
HsmmModel open_ended(const HsmmModel &model) {
    HsmmModel open = model;
    const bool from_left = model.censoring == Censoring::left || model.censoring == Censoring::both;
    open.censoring = from_left ? Censoring::both : Censoring::right;
    return open;
}

// Calls each(t, scores) with the log scores of the states at frame t given frames 0 .. t, until it returns false.
template <typename Each> void filter(Matrix<const double> log_emissions, const HsmmModel &model, Each &&each) {
    const HsmmModel open = open_ended(model);
    const std::size_t frames = log_emissions.rows;
    const SegmentWeights weights(open, frames);
    const FrameOffsets offsets(log_emissions);
    ForwardPass forward(log_emissions, open, weights, offsets);
    for (std::size_t end = 1; end <= frames; ++end) {
        forward.advance(end);
        if (!each(end - 1, forward.end_recording(end), offsets)) {
            return;
        }
        if (end < frames) {
            forward.change_state(end);
        }
    }
}

} // namespace

namespace detail {

void throw_impossible(Matrix<const double> log_emissions, const HsmmModel &model) {
    std::optional<std::size_t> dead;
    filter(log_emissions, model, [&](std::size_t t, std::span<const double> scores, const FrameOffsets &) {
        if (*std::max_element(scores.begin(), scores.end()) == kNever) {
            dead = t;
        }
        return !dead;
    });
    if (dead) {
        throw std::invalid_argument("at frame " + std::to_string(*dead) + " of " + std::to_string(log_emissions.rows) +
                                    " every state is impossible, expected a finite score for at least one; look for "
                                    "-inf in log_emissions there, and in transitions and durations before it");
    }
    throw std::invalid_argument("no sequence of whole segments ends at frame " + std::to_string(log_emissions.rows) +
                                ", expected one with a finite score; use censoring 'right' or 'both' for a recording "
                                "that may end within a segment");
}

} // namespace detail

double hsmm_filter(Matrix<const double> log_emissions, const HsmmModel &model, Matrix<double> filtered) {
    detail::check_hsmm(log_emissions, model);
    double log_likelihood = 0.0;
    filter(log_emissions, model, [&](std::size_t t, std::span<const double> scores, const FrameOffsets &offsets) {
        const double total = log_sum(scores);
        if (total == kNever) {
            detail::throw_impossible(log_emissions, model);
        }
        for (std::size_t k = 0; k < scores.size(); ++k) {
            filtered(t, k) = std::exp(scores[k] - total);
        }
        log_likelihood = total + offsets.total(); // that of the last frame stays
        return true;
    });
    return log_likelihood;
}

double hsmm_forward_backward(Matrix<const double> log_emissions, const HsmmModel &model, Matrix<double> posteriors) {
    detail::check_hsmm(log_emissions, model);
    const std::size_t frames = log_emissions.rows;
    const std::size_t states = log_emissions.cols;
    if (frames == 0) {
        return 0.0;
    }
    const SegmentWeights weights(model, frames);
    const FrameOffsets offsets(log_emissions);
    std::vector<double> begun(frames * states); // log score of all that leads to a segment beginning at (t, k)
    ForwardPass forward(log_emissions, model, weights, offsets);
    for (std::size_t start = 0; start < frames; ++start) {
        if (start > 0) {
            forward.change_state(start);
        }
        std::copy_n(forward.entered().begin(), states, begun.data() + start * states);
        forward.advance(start + 1);
    }
    const double evidence = log_sum(forward.end_recording(frames));
    if (evidence == kNever) {
        detail::throw_impossible(log_emissions, model);
    }

    // Backwards, places count from the end. A place holds the score of all that follows a segment ending there.
    std::vector<double> terms(weights.durations);
    std::vector<double> follows(states); // log score of all that follows from a segment beginning at the current start
    OpenPlaces ends(states, frames, weights.durations);
    std::fill_n(posteriors.data, frames * states, 0.0);
    for (std::size_t k = 0; k < states; ++k) {
        ends.open(0, k, 0.0);
    }
    for (std::size_t start = frames; start-- > 0;) {
        const std::size_t step = frames - start;
        const std::size_t longest = std::min(step, weights.durations);
        for (std::size_t k = 0; k < states; ++k) {
            ends.advance(step - 1, k, log_emissions(start, k) - offsets[start]);
            const double *places = ends.nearest_first(step, k);
            const double *earlier = start == 0 ? weights.first(k) : weights.inner(k);
            const double *closing = start == 0 ? weights.whole(k) : weights.last(k);
            double largest = kNever;
            for (std::size_t d = 1; d <= longest; ++d) {
                terms[d - 1] = places[d - 1] + (d == step ? closing[d - 1] : earlier[d - 1]);
                largest = std::max(largest, terms[d - 1]);
            }
            follows[k] = kNever;
            if (largest == kNever) {
                continue;
            }
            // The weight of the segments from here that cover a frame is a sum over the durations that reach it:
            // all terms are positive, where the usual difference of begun and ended segments cancels.
            double sum = 0.0;
            for (std::size_t d = longest; d >= 1; --d) {
                sum += std::exp(terms[d - 1] - largest);
                terms[d - 1] = sum;
            }
            const double tail = ends.sum(k) + largest;
            follows[k] = tail + std::log(sum);
            const double scale = std::exp(begun[start * states + k] + tail - evidence);
            if (scale > 0.0) {
                for (std::size_t d = 1; d <= longest; ++d) {
                    posteriors(start + d - 1, k) += scale * terms[d - 1];
                }
            }
        }
        for (std::size_t k = 0; k < states && start > 0; ++k) {
            ends.open(step, k, detail::log_sum_exp(follows.data(), model.log_transitions.row(k).data(), states));
        }
    }

    for (std::size_t t = 0; t < frames; ++t) {
        double sum = 0.0;
        for (const double share : posteriors.row(t)) {
            sum += share;
        }
        for (double &share : posteriors.row(t)) {
            share /= sum; // one but for rounding
        }
    }
    return evidence + offsets.total();
}

} // namespace conv2d
