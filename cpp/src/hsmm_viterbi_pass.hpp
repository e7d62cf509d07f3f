// The forward pass of the Viterbi recursion, taken in frame by frame: the offline decoder runs it over a recording,
// a stream runs it for ever.
//
// Place t lies before frame t; a segment over the frames s .. e-1 begins at place s and ends at place e. The pass keeps
// what a traceback needs from place `begin()` on: the scores of the segments that end at a place, and of those that
// begin there. Which state came before, and how long a segment lasted, is found by looking at these scores again,
// which gives the very bits of the forward pass: no pointers are stored.
#pragma once

#include "hsmm_model.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace conv2d::detail {

// A sum of very many doubles that loses no digits: what rounding took away is kept beside it.
class ExactSum {
  public:
    void add(double value) {
        const double sum = high_ + value;
        const double part = sum - high_;
        low_ += (high_ - (sum - part)) + (value - part);
        high_ = sum;
    }
    [[nodiscard]] double plus(double value) const { return high_ + (low_ + value); }

  private:
    double high_ = 0.0;
    double low_ = 0.0;
};

class ViterbiPass {
  public:
    // The tables of the model are copied, its log_transitions only when they hold for all frames (rows == K).
    // `frames` is the length of the recording where it is known: nothing then moves while frames come in.
    explicit ViterbiPass(const HsmmModel &model, std::optional<std::size_t> frames = std::nullopt);

    // Takes in the next frames, (n, K). With one matrix of transitions a frame, log_transitions is (n * K, K): rows
    // t * K .. t * K + K - 1 score the change into frame t of these. Both must have been checked.
    void push(Matrix<const double> log_emissions, Matrix<const double> log_transitions = {});

    [[nodiscard]] std::size_t states() const { return states_; }
    [[nodiscard]] std::size_t window() const { return window_; } // longest duration, min(D, frames)
    [[nodiscard]] std::size_t end() const { return end_; }       // frames taken in: the place reached
    [[nodiscard]] std::size_t begin() const { return begin_; }   // the oldest place that is remembered

    // Everything before `place` may be forgotten. Durations and origins stay known for what lies at or after it: for
    // ends whose segments begin there or later.
    void forget_before(std::size_t place);

    // Scores of the best paths whose last segment ends at end(), (K,): as one of many, and as the recording's last.
    // They are comparable with each other; absolute() gives the score of the whole path.
    [[nodiscard]] std::span<const double> ended() const { return ended_; }
    [[nodiscard]] std::vector<double> end_scores() const;
    [[nodiscard]] double absolute(double score) const { return taken_.plus(score); }

    // Score of the best path with a segment of `state` that began at `place` < end() and can go on beyond end(), less
    // its duration; -inf when there is none.
    [[nodiscard]] double open_score(std::size_t place, std::size_t state) const;

    // Frames of the best segment of `state` that ends at place `end`, the shortest of equals: for a path that goes on
    // there, and for the one that ends the recording at end(). The score must not be -inf.
    [[nodiscard]] std::size_t duration(std::size_t end, std::size_t state) const;
    [[nodiscard]] std::size_t last_duration(std::size_t state) const;

    // All that these choose from: scores[d - 1] for d = 1 .. scores.size(), comparable with each other; -inf for what
    // is impossible.
    void durations(std::size_t end, std::size_t state, std::vector<double> &scores) const;
    void last_durations(std::size_t state, std::vector<double> &scores) const;

    // What ended() was at `place`, 0 < place < end(), (K,); only where one matrix of transitions holds for all frames.
    [[nodiscard]] std::span<const double> ends(std::size_t place) const;

    // The state before the best segment of `state` that begins at `place` > 0, the smallest of equals.
    [[nodiscard]] std::size_t origin(std::size_t place, std::size_t state) const;

    // All of it, in a layout that is the same on every path, and back into a pass of the same model and frames.
    // restore() throws std::invalid_argument on bytes that save() of such a pass did not write.
    [[nodiscard]] std::vector<std::byte> save() const;
    void restore(std::span<const std::byte> bytes);

  private:
    // From `place` on, the scores of places before it were changed by `amount`.
    struct Shift {
        std::size_t place;
        double amount;
    };

    void enter(const double *log_transitions);
    void advance(const double *emissions);
    void rebase();
    void shift(std::size_t state, double amount);
    [[nodiscard]] std::size_t best_origin(const double *ended, const double *log_transitions, std::size_t state) const;
    template <typename Visit> void visit_segments(std::size_t end, std::size_t state, const double *later,
                                                  const double *opening, Visit &&visit) const;
    [[nodiscard]] Maximum best_segment(std::size_t end, std::size_t state, const double *later,
                                       const double *opening) const;

    std::size_t states_;
    SegmentWeights weights_;
    std::size_t window_;
    std::size_t rebase_every_;
    std::vector<double> transitions_;
    std::vector<double> initial_;

    std::size_t end_ = 0;
    std::size_t begin_ = 0;
    ExactSum taken_;                         // what was taken from all scores
    std::vector<double> sums_;               // (K,) emissions since they were last shifted into the places
    std::vector<double> ended_;              // (K,)
    std::vector<double> open_;               // (window, K) ring: scores of places less the sum there, shifts applied
    std::vector<double> places_;             // (places from begin_, K): scores as they were written first
    std::vector<double> ends_;               // (places from begin_, K): ended_ as the change of state saw it
    std::vector<std::uint32_t> origins_;     // the states before instead of ends_, where transitions differ by frame
    std::vector<std::vector<Shift>> shifts_; // by state
};

} // namespace conv2d::detail
