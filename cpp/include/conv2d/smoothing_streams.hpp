// Smoothing of recordings that come in pieces: push() appends to `final` what can no longer change, flush() ends the
// recording, appends the rest and makes the stream ready for the next one. However the recording is cut into pieces,
// the outcome is the same. What a stream holds does not depend on how much it has seen; save() gives it as bytes that
// are the same on every machine, from which restore() makes a stream that goes on from there, and throws
// std::invalid_argument on bytes that save() cannot have given.
//
// A stream serves one thread at a time. Label is one of those of smoothing.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace conv2d {

enum class WindowStatistic { mode, median };

// mode_filter or median_filter half a width late, without their last step: a recording whose windows alone give more
// transitions than it had (no_gain() is false then; never with two labels) keeps them, as only its end would tell how
// many have to go. O(width + n) for a push of n labels, memory for the last width - 1.
template <typename Label> class WindowStream {
  public:
    WindowStream(WindowStatistic statistic, std::int64_t width); // width odd, at least 1
    void push(std::span<const Label> labels, std::vector<Label> &final);
    void flush(std::vector<Label> &final);

    [[nodiscard]] std::int64_t width() const { return static_cast<std::int64_t>(width_); }
    [[nodiscard]] std::uint64_t waiting() const { return pushed_ - given_; }
    // Up to the sample given last; after a flush that of the recording that ended.
    [[nodiscard]] bool no_gain() const { return transitions_given_ <= transitions_pushed_; }
    [[nodiscard]] std::string save() const;
    [[nodiscard]] static WindowStream restore(WindowStatistic statistic, std::string_view saved);

  private:
    void filter(std::size_t last, std::vector<Label> &final);

    WindowStatistic statistic_;
    std::uint64_t width_;
    std::uint64_t pushed_ = 0; // samples of this recording, and those of them that were given back
    std::uint64_t given_ = 0;
    std::uint64_t transitions_pushed_ = 0;
    std::uint64_t transitions_given_ = 0;
    Label last_given_ = 0;
    std::vector<Label> held_; // the last ones pushed: all that windows to come look at
};

namespace detail {
template <typename Label> class DwellQueue;
}

// Exactly min_dwell. The first segment, and every one that lasts min_frames, comes out as it goes on, unless a shorter
// one before it is undecided. That one goes to the earlier neighbour once the later one has ended without reaching its
// length, to the later one once that has grown beyond the earlier; if both have the same label, once the later one is
// as long as itself. Until then it and what follows wait, which two long neighbours can make as long as the earlier
// one. No more than 2 min_frames + 2 segments ever wait (merge_short in smoothing_runs.hpp says why all this is
// certain). O(n + waiting segments) for a push of n labels.
template <typename Label> class DwellStream {
  public:
    explicit DwellStream(std::int64_t min_frames); // at least 1
    DwellStream(DwellStream &&) noexcept;
    DwellStream &operator=(DwellStream &&) noexcept;
    ~DwellStream();
    void push(std::span<const Label> labels, std::vector<Label> &final);
    void flush(std::vector<Label> &final);

    [[nodiscard]] std::int64_t min_frames() const;
    [[nodiscard]] std::uint64_t waiting() const;
    [[nodiscard]] std::size_t waiting_segments() const; // with the one that they are merged into
    [[nodiscard]] std::string save() const;
    [[nodiscard]] static DwellStream restore(std::string_view saved);

  private:
    std::unique_ptr<detail::DwellQueue<Label>> queue_;
};

// Exactly hysteresis, without delay. O(n). When p holds NaN it throws and stays as it was.
class HysteresisStream {
  public:
    HysteresisStream(double enter, double exit); // enter >= exit
    void push(std::span<const double> p, std::span<bool> on);
    void push(std::span<const float> p, std::span<bool> on);
    void flush() { on_ = false; }

    [[nodiscard]] double enter() const { return enter_; }
    [[nodiscard]] double exit() const { return exit_; }
    [[nodiscard]] bool on() const { return on_; }
    [[nodiscard]] std::string save() const;
    [[nodiscard]] static HysteresisStream restore(std::string_view saved);

  private:
    double enter_;
    double exit_;
    bool on_ = false;
};

} // namespace conv2d
