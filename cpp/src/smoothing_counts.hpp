// What stands in a window that slides over codes 0 .. different - 1: add() takes a code in or, with a change of -1
// modulo 2^64, out; label() gives the statistic.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace conv2d::detail {

inline constexpr std::size_t kBytes = 256; // values of a byte

struct ByteMedian {
    explicit ByteMedian(std::size_t /*different*/, std::uint64_t width) : rank_(width / 2) {}

    void add(std::size_t label, std::uint64_t change) { // wraps around to subtract
        counts_[label] += change;
        groups_[label / kGroup] += change;
        below_ += label < median_ ? change : 0;
    }

    // Walks from the last median to this one, whole groups at a time where it can.
    [[nodiscard]] std::size_t label(std::size_t /*own*/) {
        while (below_ > rank_) {
            if (median_ % kGroup == 0 && below_ - groups_[median_ / kGroup - 1] > rank_) {
                median_ -= kGroup;
                below_ -= groups_[median_ / kGroup];
            } else {
                below_ -= counts_[--median_];
            }
        }
        while (below_ + counts_[median_] <= rank_) {
            if (median_ % kGroup == 0 && below_ + groups_[median_ / kGroup] <= rank_) {
                below_ += groups_[median_ / kGroup];
                median_ += kGroup;
            } else {
                below_ += counts_[median_++];
            }
        }
        return median_;
    }

  private:
    static constexpr std::size_t kGroup = 16;
    std::uint64_t rank_;
    std::uint64_t below_ = 0; // how many are smaller than median_
    std::size_t median_ = 0;
    std::array<std::uint64_t, kBytes> counts_{};
    std::array<std::uint64_t, kBytes / kGroup> groups_{};
};

struct ByteMode {
    explicit ByteMode(std::size_t different, std::uint64_t /*width*/) : different_(different) {}

    void add(std::size_t label, std::uint64_t change) { // wraps around to subtract
        const std::uint64_t before = counts_[label];
        const std::uint64_t count = before + change;
        counts_[label] = count;
        if (count > most_ || (count == most_ && label < winner_)) {
            most_ = count;
            winner_ = label;
        } else if (label == winner_ && count < before) {
            winner_ = 0;
            for (std::size_t other = 1; other < different_; ++other) {
                winner_ = counts_[other] > counts_[winner_] ? other : winner_;
            }
            most_ = counts_[winner_];
        }
    }

    [[nodiscard]] std::size_t label(std::size_t own) const { return counts_[own] == most_ ? own : winner_; }

  private:
    std::size_t different_;
    std::uint64_t most_ = 0;
    std::size_t winner_ = 0; // the smallest label of those that are most frequent
    std::array<std::uint64_t, kBytes> counts_{};
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

struct TreeMode {
    explicit TreeMode(std::size_t different, std::uint64_t /*width*/) : tree_(different) {}
    void add(std::size_t label, std::uint64_t change) { tree_.add(label, change); }
    [[nodiscard]] std::size_t label(std::size_t own) const {
        if (tree_[tree_.leaves() + own] == tree_[1]) {
            return own;
        }
        std::size_t node = 1;
        while (node < tree_.leaves()) {
            node = 2 * node + (tree_[2 * node] == tree_[1] ? 0 : 1);
        }
        return node - tree_.leaves();
    }

  private:
    CountTree<Largest> tree_;
};

struct TreeMedian {
    explicit TreeMedian(std::size_t different, std::uint64_t width) : rank_(width / 2), tree_(different) {}
    void add(std::size_t label, std::uint64_t change) { tree_.add(label, change); }
    [[nodiscard]] std::size_t label(std::size_t /*own*/) const {
        std::uint64_t rank = rank_;
        std::size_t node = 1;
        while (node < tree_.leaves()) {
            node *= 2;
            if (rank >= tree_[node]) {
                rank -= tree_[node];
                ++node;
            }
        }
        return node - tree_.leaves();
    }

  private:
    std::uint64_t rank_;
    CountTree<std::plus<std::uint64_t>> tree_;
};

} // namespace conv2d::detail
