#include "conv2d/smoothing.hpp"

#include "conv2d/numeric.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

namespace conv2d {
namespace {

template <typename Label> std::size_t count_runs(std::span<const Label> labels) {
    std::size_t runs = labels.empty() ? 0 : 1;
    for (std::size_t t = 1; t < labels.size(); ++t) {
        runs += labels[t] != labels[t - 1] ? 1 : 0;
    }
    return runs;
}

// The segments of one sequence as a linked list, and the inner ones in a heap by (length, start).
template <typename Label> class RunList {
  public:
    explicit RunList(std::span<const Label> labels) {
        runs_.reserve(count_runs(labels));
        for (std::size_t t = 0; t < labels.size(); ++t) {
            if (t == 0 || labels[t] != labels[t - 1]) {
                const std::size_t index = runs_.size();
                runs_.push_back({labels[t], t, 0, index - 1, index + 1, true});
            }
            ++runs_.back().length;
        }
        alive_ = runs_.size();
        heap_.reserve(runs_.size()); // a merge takes at least one entry out and puts at most one in
        for (std::size_t index = 0; index < runs_.size(); ++index) {
            push(index);
        }
    }

    // Merges the shortest inner run until none is shorter than `min_length` and no more than `max_runs` are left.
    void merge(std::size_t min_length, std::size_t max_runs) {
        while (!heap_.empty()) {
            const auto [length, start, index] = heap_.front();
            std::pop_heap(heap_.begin(), heap_.end(), std::greater<>{});
            heap_.pop_back();
            const Run &run = runs_[index];
            if (!run.alive || run.length != length || run.start != start) {
                continue; // an entry from before this run grew or went
            }
            if (length >= min_length && alive_ <= max_runs) {
                return;
            }
            absorb(index);
        }
    }

    void write(std::span<Label> labels) const {
        for (const Run &run : runs_) {
            if (run.alive) {
                std::fill_n(labels.begin() + static_cast<std::ptrdiff_t>(run.start), run.length, run.label);
            }
        }
    }

  private:
    struct Run {
        Label label;
        std::size_t start;
        std::size_t length;
        std::size_t before;
        std::size_t after;
        bool alive;
    };

    void push(std::size_t index) {
        const Run &run = runs_[index];
        if (index != 0 && run.after < runs_.size()) {
            heap_.emplace_back(run.length, run.start, index);
            std::push_heap(heap_.begin(), heap_.end(), std::greater<>{});
        }
    }

    void absorb(std::size_t index) {
        const Run gone = runs_[index];
        Run &before = runs_[gone.before];
        Run &after = runs_[gone.after];
        std::size_t grown = gone.before;
        runs_[index].alive = false;
        --alive_;
        if (before.label == after.label) {
            before.length += gone.length + after.length;
            before.after = after.after;
            after.alive = false;
            --alive_;
        } else if (before.length >= after.length) {
            before.length += gone.length;
            before.after = gone.after;
        } else {
            after.start = gone.start;
            after.length += gone.length;
            after.before = gone.before;
            before.after = gone.after;
            grown = gone.after;
        }
        if (runs_[grown].after < runs_.size()) {
            runs_[runs_[grown].after].before = grown;
        }
        push(grown);
    }

    std::vector<Run> runs_;
    std::vector<std::tuple<std::size_t, std::size_t, std::size_t>> heap_;
    std::size_t alive_ = 0;
};

// Counts of the labels in a window, combined upwards in a binary tree whose leaves are the labels in order.
template <typename Combine> class CountTree {
  public:
    explicit CountTree(std::size_t labels) : leaves_(std::bit_ceil(labels)), counts_(2 * leaves_, 0) {}

    void add(std::size_t label, std::uint64_t change) { // wraps around to subtract
        std::size_t node = leaves_ + label;
        counts_[node] += change;
        for (node /= 2; node > 0; node /= 2) {
            counts_[node] = Combine{}(counts_[2 * node], counts_[2 * node + 1]);
        }
    }

    [[nodiscard]] std::size_t leaves() const { return leaves_; }
    [[nodiscard]] std::uint64_t operator[](std::size_t node) const { return counts_[node]; }

  private:
    std::size_t leaves_;
    std::vector<std::uint64_t> counts_;
};

struct Largest {
    std::uint64_t operator()(std::uint64_t left, std::uint64_t right) const { return std::max(left, right); }
};

struct ModeOf {
    using Tree = CountTree<Largest>;
    static std::size_t label(const Tree &tree, std::size_t own, std::uint64_t /*width*/) {
        if (tree[tree.leaves() + own] == tree[1]) {
            return own;
        }
        std::size_t node = 1;
        while (node < tree.leaves()) {
            node = 2 * node + (tree[2 * node] == tree[1] ? 0 : 1);
        }
        return node - tree.leaves();
    }
};

struct MedianOf {
    using Tree = CountTree<std::plus<std::uint64_t>>;
    static std::size_t label(const Tree &tree, std::size_t /*own*/, std::uint64_t width) {
        std::uint64_t rank = width / 2;
        std::size_t node = 1;
        while (node < tree.leaves()) {
            node *= 2;
            if (rank >= tree[node]) {
                rank -= tree[node];
                ++node;
            }
        }
        return node - tree.leaves();
    }
};

template <typename Statistic, typename Label>
void filter(std::span<const Label> labels, std::int64_t width, std::span<Label> smoothed) {
    if (width < 1 || width % 2 == 0) {
        throw std::invalid_argument("width is " + std::to_string(width) + ", expected an odd number of samples from 1");
    }
    if (labels.empty()) {
        return;
    }
    std::vector<Label> values(labels.begin(), labels.end());
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    std::vector<std::size_t> ranks(labels.size());
    for (std::size_t t = 0; t < labels.size(); ++t) {
        ranks[t] = static_cast<std::size_t>(std::lower_bound(values.begin(), values.end(), labels[t]) - values.begin());
    }

    const auto span = static_cast<std::uint64_t>(width);
    const std::uint64_t reach = span / 2;
    const std::uint64_t last = labels.size() - 1;
    typename Statistic::Tree tree(values.size());
    tree.add(ranks.front(), reach + 1);
    for (std::uint64_t t = 1; t <= std::min(reach, last); ++t) {
        tree.add(ranks[t], 1);
    }
    tree.add(ranks.back(), reach > last ? reach - last : 0);
    for (std::uint64_t t = 0; t <= last; ++t) {
        smoothed[t] = values[Statistic::label(tree, ranks[t], span)];
        tree.add(ranks[t > reach ? t - reach : 0], ~std::uint64_t{0});
        tree.add(ranks[std::min(t + reach + 1, last)], 1);
    }

    const std::size_t allowed = count_runs(labels);
    if (count_runs(std::span<const Label>(smoothed)) > allowed) {
        RunList<Label> runs(smoothed);
        runs.merge(0, allowed);
        runs.write(smoothed);
    }
}

} // namespace

template <typename Label>
void mode_filter(std::span<const Label> labels, std::int64_t width, std::span<Label> smoothed) {
    filter<ModeOf>(labels, width, smoothed);
}

template <typename Label>
void median_filter(std::span<const Label> labels, std::int64_t width, std::span<Label> smoothed) {
    filter<MedianOf>(labels, width, smoothed);
}

template <typename Label>
void min_dwell(std::span<const Label> labels, std::int64_t min_frames, std::span<Label> smoothed) {
    if (min_frames < 1) {
        throw std::invalid_argument("min_frames is " + std::to_string(min_frames) + ", expected at least 1");
    }
    RunList<Label> runs(labels);
    runs.merge(static_cast<std::size_t>(min_frames), std::numeric_limits<std::size_t>::max());
    runs.write(smoothed);
}

template void mode_filter(std::span<const std::int32_t>, std::int64_t, std::span<std::int32_t>);
template void mode_filter(std::span<const std::int64_t>, std::int64_t, std::span<std::int64_t>);
template void median_filter(std::span<const std::int32_t>, std::int64_t, std::span<std::int32_t>);
template void median_filter(std::span<const std::int64_t>, std::int64_t, std::span<std::int64_t>);
template void min_dwell(std::span<const std::int32_t>, std::int64_t, std::span<std::int32_t>);
template void min_dwell(std::span<const std::int64_t>, std::int64_t, std::span<std::int64_t>);

void hysteresis(std::span<const double> p, double enter, double exit, std::span<bool> on) {
    if (!(enter >= exit)) { // also when either is NaN
        throw std::invalid_argument("enter is " + std::to_string(enter) + " and exit is " + std::to_string(exit) +
                                    ", expected enter >= exit");
    }
    for (std::size_t t = 0; t < p.size(); ++t) {
        if (is_nan(p[t])) {
            throw std::invalid_argument("p row " + std::to_string(t) + " is nan, expected numbers");
        }
    }
    bool state = false;
    for (std::size_t t = 0; t < p.size(); ++t) {
        state = state ? p[t] >= exit : p[t] >= enter;
        on[t] = state;
    }
}

} // namespace conv2d
