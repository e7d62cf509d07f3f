// The HSMM decoder for recordings that do not end: frames in, segments out as soon as nothing can change them.
//
// A segment is final when every continuation of the recording has it in its most likely timeline. Until then the stream
// remembers what is needed to tell, so its memory hangs on the model and on how long the data stay ambiguous, not on
// the frames taken in. A bound on the lag decides what is still open by the most likely timeline of the frames so far.
#pragma once

#include "conv2d/hsmm.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace conv2d {

struct StreamOptions {
    // A frame is decided at the latest when this many frames have followed it. Without it only what is certain is.
    std::optional<std::int64_t> lag_frames;
    bool filtered = false;                            // give P(state at t | frames 0 .. t)
    std::optional<std::int64_t> smoothing_lag_frames; // give P(state at t | frames 0 .. t + this many)
    // A push looks for final segments once at its end, when so many frames have come since it last looked.
    std::int64_t check_frames = 1;
    // (K,) or empty: added to the scores of the recording's last frame, which the timeline therefore takes in only
    // with the next push, or with the flush.
    std::span<const double> log_final;
};

// What one push or flush gives. Segments follow each other without a gap, the first begins at frame 0.
struct StreamOutput {
    std::vector<Segment> segments;
    std::vector<double> filtered; // (frames of this push, K)
    std::vector<double> smoothed; // (rows, K), for the frames that follow those given before
};

// The frames start .. until - 1 are in this state in every continuation. When it ends is open; where the model lets a
// state follow itself they may come to be more than one segment.
struct OpenSegment {
    std::int64_t state;
    std::int64_t start;
    std::int64_t until;
    bool operator==(const OpenSegment &) const = default;
};

class HsmmStream {
  public:
    // Copies the model. Throws std::invalid_argument as hsmm_viterbi does, and on one matrix of transitions a frame.
    HsmmStream(const HsmmModel &model, const StreamOptions &options);
    HsmmStream(HsmmStream &&) noexcept;
    HsmmStream &operator=(HsmmStream &&) noexcept;
    ~HsmmStream();

    // Takes in the next frames, (n, K), n of 0 or more. Throws std::invalid_argument, and then changes nothing, on
    // shapes and values that hsmm_viterbi refuses, on a row that is -inf throughout, and after flush(). Throws, too,
    // when no timeline is possible any more; the stream then refuses everything until reset().
    void push(Matrix<const double> log_emissions, StreamOutput &output);

    // Ends the recording and gives the segments that were open; returns the score of the whole timeline. `ends` says
    // whether log_final holds for the last frame. Throws, and changes nothing, when no timeline ends here.
    double flush(StreamOutput &output, bool ends = true);

    // Back to the state before the first frame.
    void reset();

    // The most likely timeline of the frames that are not yet given out, as if the recording went on: a guess, which
    // later frames may change. The last segment goes on. Empty before the first frame and after flush().
    [[nodiscard]] std::vector<Segment> tentative() const;

    [[nodiscard]] std::optional<OpenSegment> open() const;
    [[nodiscard]] std::int64_t states() const;
    [[nodiscard]] std::int64_t frames() const;  // taken in
    [[nodiscard]] std::int64_t decided() const; // of these, the first that many are in a segment given out or in open()
    [[nodiscard]] bool flushed() const;

    // How often the bound made a choice that the data had not made, and the frames whose state was so chosen. The
    // timeline is that of hsmm_viterbi as long as no commit was forced.
    [[nodiscard]] std::int64_t forced_commits() const;
    [[nodiscard]] std::int64_t forced_frames() const;

    // Everything that is needed to go on, with a version, a mark of model and options, and a check sum. restore()
    // throws std::invalid_argument, and changes nothing, when the bytes are damaged or of another model.
    [[nodiscard]] std::vector<std::byte> save() const;
    void restore(std::span<const std::byte> bytes);

  private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace conv2d
