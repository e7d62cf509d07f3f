// The forward pass of the Viterbi recursion, taken in frame by frame: the offline decoder runs it over a recording,
// a stream runs it for ever.
//
// Place t lies before frame t; a segment over the frames s .. e-1 begins at place s and ends at place e. The pass keeps
// what a traceback needs from place `begin()` on: the scores of the segments that end at a place, and of those that
// begin there. Which state came before, and how long a segment lasted, is found by looking at these scores again,
// which gives the very bits of the forward pass: no pointers are stored.
#pragma once

#include "hsmm_model.hpp"
#include "hsmm_workspace.hpp"
#include "simd/viterbi_kernels.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
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
    // t * K .. t * K + K - 1 score the change into frame t of these. Shapes must have been checked; values are here,
    // and a bad one throws std::invalid_argument after up to 7 frames before it have been taken in.
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
    [[nodiscard]] std::span<const double> ended() const { return {block_.ended, states_}; }
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

    // What ended() was at `place`, 0 < place < end(), (K,).
    [[nodiscard]] std::span<const double> ends(std::size_t place) const;

    // The state before the best segment of `state` that begins at `place` > 0, the smallest of equals.
    [[nodiscard]] std::size_t origin(std::size_t place, std::size_t state) const;

    // The segments of the best path whose last one is of `state` and ends at end(), all of them remembered.
    [[nodiscard]] std::vector<Segment> path(std::size_t state) const;

    // All of it, in a layout that is the same on every path, and back into a pass of the same model and frames.
    // restore() throws std::invalid_argument on bytes that save() of such a pass did not write.
    [[nodiscard]] std::vector<std::byte> save() const;
    void restore(std::span<const std::byte> bytes);

  private:
    // Scores of the places before `place`, as the ends from there on see them, were changed by `amount`.
    struct Shift {
        std::size_t place;
        double amount;
    };
    struct Chunk {
        WorkBlock memory;
        double *places;         // (padded, chunk_frames_ + 8) scores as they were written first
        double *ends;           // (chunk_frames_, padded) ended() as the change of state saw it
        unsigned char *bytes;   // (chunk_frames_, padded) states before, where all segments are of one frame
        std::uint32_t *origins; // (chunk_frames_, K) states before, where the transitions differ by frame
    };

    // Differences of sums fail at -inf, and lose their digits beside one huge score. Whenever a sum leaves +-kLimit it
    // is therefore added to the places that can still be used, and starts again from zero: -inf then reaches exactly
    // the segments that hold the impossible frame.
    static constexpr double kLimit = 1e6;
    static constexpr std::size_t kByteStates = 256; // whose numbers fit a byte

    void fill_tables(const HsmmModel &model, std::size_t distances);
    [[nodiscard]] std::uint64_t kind() const { return (by_frame_ ? 1u : 0u) + (plain_ ? 2u : 0u); }
    [[nodiscard]] bool keeps_bytes() const { return plain_ && states_ <= kByteStates; }
    [[nodiscard]] bool keeps_origins() const { return by_frame_ && !keeps_bytes(); }
    void make_room();
    void fetch_ahead(Matrix<const double> log_emissions, std::size_t frame) const;
    [[nodiscard]] Chunk new_chunk() const;
    void take_transitions(Matrix<const double> log_transitions, std::size_t r);
    void take(std::size_t from, std::size_t to);
    void take_plain(std::size_t from, std::size_t to);
    [[nodiscard]] std::size_t advance_by_frame(std::size_t from, std::size_t to);
    void keep_origins(std::size_t r);
    [[nodiscard]] bool leaves_limit(std::size_t r) const;
    void take_slowly(std::size_t r, bool entered);
    void end_again();
    void rebase();
    std::size_t shift(std::size_t state, double amount, std::size_t place);
    void slope_again(std::size_t row, std::size_t place);
    [[nodiscard]] const Chunk &chunk_of(std::size_t place) const {
        return chunks_[(place - chunks_begin_) / chunk_frames_];
    }
    [[nodiscard]] std::size_t places_stride() const { return chunk_frames_ + 8; }
    [[nodiscard]] double *places_at(std::size_t place, std::size_t state) const {
        return chunk_of(place).places + state * places_stride() + (place - chunks_begin_) % chunk_frames_;
    }
    [[nodiscard]] double *ends_at(std::size_t place) const {
        return chunk_of(place).ends + (place - chunks_begin_) % chunk_frames_ * block_.padded;
    }
    template <typename Visit> void visit_segments(std::size_t end, std::size_t state, const double *later,
                                                  const double *opening, Visit &&visit) const;
    [[nodiscard]] std::size_t best_origin(const double *ended, const double *log_transitions, std::size_t state) const;
    template <typename Visit> [[nodiscard]] std::optional<std::vector<double>>
    visit_places(std::size_t end, std::size_t state, Visit &&visit) const;
    [[nodiscard]] double first_score(std::size_t state, const std::vector<double> &amounts) const;
    [[nodiscard]] Maximum best_last(std::size_t state) const;

    std::size_t states_;
    SegmentWeights weights_;
    std::size_t window_;
    std::size_t rebase_every_;
    bool by_frame_;         // transitions differ by frame
    bool weighted_ = false; // plain, and the one duration has a weight
    bool plain_;            // all segments are of one frame: no places are kept, and origins as bytes
    const simd::ViterbiKernels *kernels_;

    WorkBlock tables_; // of the groups, and rows of one block of frames
    std::vector<simd::ViterbiGroup> groups_;
    std::vector<unsigned> listed_;
    std::vector<std::size_t> sources_;
    std::vector<unsigned char> done_;
    simd::ViterbiBlock block_{};
    double *transitions_ = nullptr;              // (K, padded), or (8, K, padded)
    double *emissions_ = nullptr;                // (8, padded)
    double *most_ = nullptr;                     // (padded,) largest transition out of each state
    double *initial_ = nullptr;                  // (padded,) scores of place 0, shifts applied
    std::size_t capacity_ = 0;                   // rows of the groups
    std::size_t rows_begin_ = 0;                 // the place of row 0
    bool fresh_ = false;                         // whether `pending` of the groups holds what was seen so far
    std::vector<double> first_scores_;           // (K,) of place 0
    std::vector<std::size_t> impossible_before_; // by state: places before it hold -inf

    std::size_t end_ = 0;
    std::size_t begin_ = 0;
    ExactSum taken_; // what was taken from all scores
    std::deque<Chunk> chunks_;
    std::size_t chunk_frames_;
    std::size_t chunks_begin_ = 0;           // the place where the first one starts
    std::vector<std::vector<Shift>> shifts_; // by state
};

} // namespace conv2d::detail
