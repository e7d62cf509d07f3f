// What the decoders share: a checked model with its tables of segment weights, the running state of a forward pass,
// and the two reductions over durations.
#pragma once

#include "conv2d/hsmm.hpp"

#include <cstddef>
#include <vector>

namespace conv2d::detail {

// Log weights of a segment by state and duration, durations beyond T left out. Which table a segment takes depends on
// the ends of the recording that it touches.
struct SegmentWeights {
    SegmentWeights(const HsmmModel &model, std::size_t frames);

    [[nodiscard]] const double *inner(std::size_t state) const { return inner_.data() + state * durations; }
    [[nodiscard]] const double *first(std::size_t state) const { return of(first_, state); }
    [[nodiscard]] const double *last(std::size_t state) const { return of(last_, state); }
    [[nodiscard]] const double *whole(std::size_t state) const { return of(whole_, state); }

    std::size_t durations; // min(D, T)

  private:
    [[nodiscard]] const double *of(const std::vector<double> &table, std::size_t state) const {
        return table.empty() ? inner(state) : table.data() + state * durations;
    }

    // (K, durations) each, element d - 1 is duration d; empty where no end is cut off and inner_ holds.
    std::vector<double> inner_, first_, last_, whole_;
};

// Throws when a score is NaN, +inf or beyond +-1e200, naming the array, the row and, unless there is but one, the
// column.
void check_scores(Matrix<const double> scores, const char *name, bool one_dimensional);

// Throws when shapes do not match, or when an entry is NaN, +inf or beyond +-1e200.
void check_hsmm(Matrix<const double> log_emissions, const HsmmModel &model);

// The parts of it: all shapes and the tables of the model but its transitions, and what comes frame by frame.
void check_model(Matrix<const double> log_emissions, const HsmmModel &model);
void check_emissions(Matrix<const double> log_emissions);
void check_transitions(Matrix<const double> log_transitions);

// Throws the sentence that says where the data became impossible; called once nothing has a finite score.
[[noreturn]] void throw_impossible(Matrix<const double> log_emissions, const HsmmModel &model);

// Emission scores less the largest of their frame, which no comparison between paths sees. Absolute scores then stay
// small however long the recording, and keep their digits; `total` gives back what was taken away.
class FrameOffsets {
  public:
    explicit FrameOffsets(Matrix<const double> log_emissions);
    [[nodiscard]] double operator[](std::size_t frame) const { return offsets_[frame]; }
    [[nodiscard]] double total() const { return total_; }

  private:
    std::vector<double> offsets_;
    double total_ = 0.0;
};

// Per state: the running sum of emissions and, for each place where a segment can begin (or end, in a backward pass),
// its score less the sum there. The score of a segment's emissions is then a difference of two sums, which makes the
// recursions O(D) per frame and state instead of O(D^2).
//
// Differences of sums fail at -inf, and lose their digits beside one huge score. Whenever a sum leaves +-kFoldLimit it
// is therefore folded into the places that can still be used, and starts again from zero: -inf then reaches exactly
// the segments that hold the impossible frame.
class OpenPlaces {
  public:
    OpenPlaces(std::size_t states, std::size_t frames, std::size_t window)
        : window_(window), stride_(frames + 1), sums_(states, 0.0), scores_(states * stride_, kNever) {}

    // Place number `step` counts from the side where the pass began: 0 .. frames.
    void open(std::size_t step, std::size_t state, double score) { at(step, state) = score - sums_[state]; }

    // Adds the emission that lies between place `step` and the next.
    void advance(std::size_t step, std::size_t state, double emission) {
        const double sum = sums_[state] + emission;
        if (sum >= -kFoldLimit && sum <= kFoldLimit) {
            sums_[state] = sum;
            return;
        }
        const std::size_t oldest = step + 1 > window_ ? step + 1 - window_ : 0;
        for (std::size_t place = oldest; place <= step; ++place) {
            at(place, state) += sum;
        }
        sums_[state] = 0.0;
    }

    // Scores of the places before `step`, the nearest first: element d - 1 lies d frames back.
    [[nodiscard]] const double *nearest_first(std::size_t step, std::size_t state) const {
        return scores_.data() + state * stride_ + (stride_ - step);
    }
    [[nodiscard]] double sum(std::size_t state) const { return sums_[state]; }

  private:
    static constexpr double kFoldLimit = 1e6;

    [[nodiscard]] double &at(std::size_t step, std::size_t state) {
        return scores_[state * stride_ + (stride_ - 1 - step)];
    }

    std::size_t window_;
    std::size_t stride_;
    std::vector<double> sums_;
    std::vector<double> scores_;
};

struct Maximum {
    double value;
    std::size_t index; // the smallest that reaches the value
};

// Over i < n: max of a[i] + b[i], and log of the sum of exp(a[i] + b[i]); both -inf for n = 0.
[[nodiscard]] Maximum max_plus(const double *a, const double *b, std::size_t n);
[[nodiscard]] double log_sum_exp(const double *a, const double *b, std::size_t n);
[[nodiscard]] double log_add_exp(double a, double b);

// out[j] = log of the sum over i of exp(scores[i] + log_transitions(i, j)).
void enter_states(std::span<const double> scores, Matrix<const double> log_transitions, std::span<double> out);

} // namespace conv2d::detail
