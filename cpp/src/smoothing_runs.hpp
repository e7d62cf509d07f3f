// Sequences of labels as runs, and the rules by which short ones are merged into their neighbours.
#pragma once

#include "simd/smoothing_kernels.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace conv2d::detail {

template <typename Label> struct Run {
    std::uint64_t length;
    Label label;
};

// Continues `runs` by n labels.
template <typename Label> void append_runs(const simd::SmoothingKernels &kernels, const Label *labels, std::size_t n,
                                           std::vector<Run<Label>> &runs) {
    if (n == 0) {
        return;
    }
    if (runs.empty() || runs.back().label != labels[0]) {
        runs.push_back({0, labels[0]});
    }
    const auto &of = simd::label_kernels<Label>(kernels);
    constexpr std::size_t kWord = 64;
    std::array<std::uint64_t, 64> masks{};
    std::size_t begin = 0; // of the run that is open
    std::size_t t = 1;
    while (n - t >= kWord) {
        const std::size_t words = std::min(masks.size(), (n - t) / kWord);
        of.change_masks(labels + t, words, masks.data());
        std::size_t changes = 0;
        for (std::size_t word = 0; word < words; ++word) {
            changes += static_cast<std::size_t>(std::popcount(masks[word]));
        }
        std::size_t open = runs.size() - 1;
        runs.resize(runs.size() + changes);
        for (std::size_t word = 0; word < words; ++word, t += kWord) {
            for (std::uint64_t mask = masks[word]; mask != 0; mask &= mask - 1) {
                const std::size_t end = t + static_cast<std::size_t>(std::countr_zero(mask));
                runs[open].length += end - begin;
                runs[++open].label = labels[end];
                begin = end;
            }
        }
    }
    for (; t < n; ++t) {
        if (labels[t] != labels[t - 1]) {
            runs.back().length += t - begin;
            runs.push_back({0, labels[t]});
            begin = t;
        }
    }
    runs.back().length += n - begin;
}

// Gives runs[gone] to the longer of its neighbours, of equals to the earlier, or joins all three. The list has a gap:
// runs[kept-1] is the neighbour before runs[gone]. `gone` is left at the first run behind the gap.
template <typename Label> void absorb(std::vector<Run<Label>> &runs, std::size_t kept, std::size_t &gone) {
    Run<Label> &before = runs[kept - 1];
    Run<Label> &after = runs[gone + 1];
    if (before.label == after.label) {
        before.length += runs[gone].length + after.length;
        gone += 2;
    } else if (before.length >= after.length) {
        before.length += runs[gone].length;
        ++gone;
    } else {
        after.length += runs[gone].length;
        ++gone;
    }
}

// Merges the shortest inner run (of equals the earliest) until no more than `most` runs are left. What a run of length
// L goes to grows beyond L, so one sweep takes away all runs of the smallest length; O(T log T) as there are at most
// T / L runs then.
template <typename Label> void merge_down_to(std::size_t most, std::vector<Run<Label>> &runs) {
    while (runs.size() > std::max<std::size_t>(most, 2)) {
        std::uint64_t shortest = runs[1].length;
        for (std::size_t i = 2; i + 1 < runs.size(); ++i) {
            shortest = std::min(shortest, runs[i].length);
        }
        std::size_t kept = 1;
        std::size_t next = 1;
        while (next < runs.size()) {
            const bool inner = next + 1 < runs.size();
            if (inner && runs[next].length == shortest && kept + (runs.size() - next) > most) {
                absorb(runs, kept, next);
            } else {
                runs[kept++] = runs[next++];
            }
        }
        runs.resize(kept);
    }
}

// What is known of the last run of a list.
enum class Tail {
    closed, // the recording ends there
    open,   // it may grow, and others may follow: it takes nothing yet
    growing // the same, but a run that goes to it however long it gets may go; its length is then a lower bound
};

// Merges, of all inner runs shorter than `min_frames`, those whose turn and whose neighbours are certain: exactly as if
// always the shortest inner run (of equals the earliest) were merged first, in linear time and whatever follows.
//
// Why: lengths only grow. An inner run g with neighbours b, a and theirs c, d (c b g a d) goes before c and b when both
// are longer than g, and before a and d when neither is shorter. Until then neither b nor a can grow, as that takes c
// or d (or g) to go; so g finds b and a as they are now. And what goes before g elsewhere does not see b, g or a.
// Merging g at once therefore changes nothing for the others. A short run waits for a shorter one (or an equally long
// earlier one) within two places; such a chain takes at most 2 (min_frames - 2) places to the right before it reaches
// the end, which bounds what waits for the future.
//
// The first run takes part as one that never goes: it is the first of the recording, or not shorter than min_frames.
// Runs before `from` have been looked at before, with the same outcome.
template <typename Label>
void merge_short(std::uint64_t min_frames, Tail tail, std::size_t from, std::vector<Run<Label>> &runs) {
    const std::size_t n = runs.size();
    std::size_t kept = std::min(std::max<std::size_t>(from, 1), n);
    std::size_t next = kept;
    while (next + 1 < n) {
        const std::uint64_t length = runs[next].length;
        if (length < min_frames && (kept == 1 || runs[kept - 1].length > length) &&
            (kept <= 2 || runs[kept - 2].length > length)) {
            const Run<Label> &before = runs[kept - 1];
            const Run<Label> &after = runs[next + 1];
            bool certain = true;
            if (next + 2 == n) {
                certain = tail == Tail::closed || (tail == Tail::growing && after.length >= length &&
                                                   (before.label == after.label || before.length < after.length));
            } else {
                const bool last = next + 3 == n;
                certain = after.length >= length && ((last && tail == Tail::closed) || runs[next + 2].length >= length);
            }
            if (certain) {
                absorb(runs, kept, next);
                std::size_t again = 0; // those which may have waited for this one
                for (std::size_t back = 1; back <= 3 && back < kept; ++back) {
                    again = runs[kept - back].length < min_frames ? back : again;
                }
                for (; again > 0; --again) {
                    runs[--next] = runs[--kept];
                }
                continue;
            }
        }
        runs[kept++] = runs[next++];
    }
    while (next < n) {
        runs[kept++] = runs[next++];
    }
    runs.resize(kept);
}

// Throws below 1.
void check_min_frames(std::int64_t min_frames);

// The runs of a recording that comes in pieces, as far as min_dwell may still change them.
template <typename Label> class DwellQueue {
  public:
    explicit DwellQueue(std::uint64_t min_frames) : min_frames_(min_frames) {}
    DwellQueue(std::uint64_t min_frames, std::uint64_t written, std::vector<Run<Label>> runs)
        : min_frames_(min_frames), written_(written), runs_(std::move(runs)) {}

    void push(const simd::SmoothingKernels &kernels, const Label *labels, std::size_t n) {
        append_runs(kernels, labels, n, runs_);
    }

    // write(label, length) for what is certain so far; `eager` also finds what no longer depends on how long the last
    // run gets, for which it copies the queue.
    template <typename Write> void settle(bool eager, Write write) {
        merge_short(min_frames_, Tail::open, looked_at_, runs_);
        looked_at_ = runs_.size() < 4 ? 1 : runs_.size() - 3; // what may wait for the last run
        if (eager && lasting(runs_) < runs_.size()) {
            std::vector<Run<Label>> foreseen = runs_;
            merge_short(min_frames_, Tail::growing, looked_at_, foreseen);
            write_runs(foreseen, lasting(foreseen), write);
        } else {
            write_runs(runs_, lasting(runs_), write);
        }
        const std::size_t lasting_runs = lasting(runs_);
        if (lasting_runs > 1) { // the last of them is what the next short run is merged into
            for (std::size_t i = 0; i + 1 < lasting_runs; ++i) {
                written_ -= runs_[i].length;
            }
            runs_.erase(runs_.begin(), runs_.begin() + static_cast<std::ptrdiff_t>(lasting_runs - 1));
            looked_at_ = looked_at_ > lasting_runs - 1 ? looked_at_ - (lasting_runs - 1) : 1;
        }
    }

    // Ends the recording: all that was not written, and an empty queue.
    template <typename Write> void finish(Write write) {
        merge_short(min_frames_, Tail::closed, looked_at_, runs_);
        write_runs(runs_, runs_.size(), write);
        runs_.clear();
        written_ = 0;
        looked_at_ = 1;
    }

    [[nodiscard]] std::uint64_t min_frames() const { return min_frames_; }
    [[nodiscard]] std::uint64_t written() const { return written_; }
    [[nodiscard]] const std::vector<Run<Label>> &runs() const { return runs_; }

    [[nodiscard]] std::uint64_t waiting() const {
        std::uint64_t frames = 0;
        for (const Run<Label> &run : runs_) {
            frames += run.length;
        }
        return frames - written_;
    }

  private:
    // How many runs at the beginning will never go.
    [[nodiscard]] std::size_t lasting(const std::vector<Run<Label>> &runs) const {
        std::size_t n = std::min<std::size_t>(1, runs.size());
        while (n < runs.size() && runs[n].length >= min_frames_) {
            ++n;
        }
        return n;
    }

    template <typename Write> void write_runs(const std::vector<Run<Label>> &runs, std::size_t n, Write write) {
        std::uint64_t begin = 0;
        for (std::size_t i = 0; i < n; ++i) {
            const std::uint64_t end = begin + runs[i].length;
            if (end > written_) {
                write(runs[i].label, end - written_);
                written_ = end;
            }
            begin = end;
        }
    }

    std::uint64_t min_frames_;
    std::uint64_t written_ = 0; // frames from the start of the first run that were written
    std::size_t looked_at_ = 1; // runs before it wait for something within the queue
    std::vector<Run<Label>> runs_;
};

} // namespace conv2d::detail
