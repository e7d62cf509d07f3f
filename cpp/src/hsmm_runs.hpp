// Runs of one label under a hidden semi-Markov model: touching segments of one state, joined.
#pragma once

#include "hsmm_lattice.hpp"

#include <cstddef>
#include <vector>

namespace conv2d::detail {

// Log weights of runs, by the frames where they begin and end: the sum over all ways to cut a run into segments, with
// the self-transitions between them, but without emissions. Tables grow as they are asked for.
class RunWeights {
  public:
    explicit RunWeights(const SegmentLattice &lattice);

    // Runs of `state` that begin at place `start`, for one such place at a time: O(D) for each frame of the longest
    // asked for, where self-transitions are possible, else O(1).
    void begin(std::size_t state, std::size_t start);
    [[nodiscard]] double operator()(std::size_t frames);

  private:
    [[nodiscard]] double segment(std::size_t state, std::size_t start, std::size_t end) const;
    [[nodiscard]] double joined(const double *opening, const std::vector<double> &rest, std::size_t frames) const;
    void grow(std::vector<double> &table, const double *opening, std::size_t frames);
    [[nodiscard]] double by_place(std::size_t end);

    const SegmentLattice &lattice_;
    bool each_frame_; // a matrix of transitions a frame
    std::size_t state_ = 0;
    std::size_t start_ = 0;
    double self_ = kNever;
    // (frames - 1) by state, for one matrix of transitions: runs that touch no end of the recording, that begin with
    // it, and that end with it.
    std::vector<std::vector<double>> inner_, first_, last_;
    std::vector<double> here_;          // for a matrix a frame: runs from start_, (frames - 1)
    mutable std::vector<double> terms_; // of one sum
};

// What rounding made of a probability: beside scores of 1e200 differences of logs lose all their digits.
[[nodiscard]] inline double probability(double value) { return value > 0.0 ? (value < 1.0 ? value : 1.0) : 0.0; }

// P(a run begins), P(a run ends), P(a run): as SegmentLattice has them for segments.
class RunLattice {
  public:
    explicit RunLattice(const SegmentLattice &lattice);

    [[nodiscard]] const SegmentLattice &segments() const { return lattice_; }
    [[nodiscard]] double begins(std::size_t start, std::size_t state) const {
        return begins_[start * lattice_.states() + state];
    }
    [[nodiscard]] double ends(std::size_t end, std::size_t state) const {
        return ends_[end * lattice_.states() + state];
    }
    [[nodiscard]] double expected_runs() const { return expected_; }

    // shares[n - 1] = P(a run of `state` begins at place `start` and lasts at most n frames), as far as there is more
    // to come. O(frames) for the longest that matters, and what RunWeights takes.
    void runs_from(std::size_t state, std::size_t start, std::vector<double> &shares);

    // For each end in ascending order, whether a run of `state` from `start` to there is possible.
    [[nodiscard]] std::vector<bool> possible(std::size_t state, std::size_t start, std::span<const std::size_t> ends);

  private:
    const SegmentLattice &lattice_;
    RunWeights weights_;
    double expected_ = 0.0;
    std::vector<double> begins_, ends_; // (T + 1, K)
};

} // namespace conv2d::detail
