#include "check.hpp"

#include "conv2d/smoothing.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <random>
#include <set>
#include <vector>

using namespace conv2d;

namespace {

using Labels = std::vector<std::int64_t>;

template <typename Filter> Labels apply(Filter filter, const Labels &labels, std::int64_t parameter) {
    Labels smoothed(labels.size());
    filter(std::span<const std::int64_t>(labels), parameter, std::span<std::int64_t>(smoothed));
    return smoothed;
}

constexpr auto kMode = [](auto from, auto width, auto to) { mode_filter(from, width, to); };
constexpr auto kMedian = [](auto from, auto width, auto to) { median_filter(from, width, to); };
constexpr auto kDwell = [](auto from, auto frames, auto to) { min_dwell(from, frames, to); };

int transitions(const Labels &labels) {
    int count = 0;
    for (std::size_t t = 1; t < labels.size(); ++t) {
        count += labels[t] != labels[t - 1] ? 1 : 0;
    }
    return count;
}

bool brings_no_label(const Labels &labels, const Labels &smoothed) {
    const std::set<std::int64_t> known(labels.begin(), labels.end());
    return std::all_of(smoothed.begin(), smoothed.end(), [&](auto label) { return known.count(label) == 1; });
}

std::size_t shortest_inner_segment(const Labels &labels) {
    std::vector<std::size_t> lengths;
    for (std::size_t t = 0; t < labels.size(); ++t) {
        if (t == 0 || labels[t] != labels[t - 1]) {
            lengths.push_back(0);
        }
        ++lengths.back();
    }
    return lengths.size() < 3 ? labels.size() : *std::min_element(lengths.begin() + 1, lengths.end() - 1);
}

Labels random_labels(std::mt19937 &random) {
    Labels labels;
    const auto kinds = 1 + random() % 6;
    const auto segments = random() % 16;
    for (std::uint32_t n = 0; n < segments; ++n) {
        labels.insert(labels.end(), 1 + random() % 5, static_cast<std::int64_t>(random() % kinds) - 2);
    }
    return labels;
}

} // namespace

TEST_CASE("smoothing: no label is new and no transition is added, on any input") {
    std::mt19937 random(3);
    for (int round = 0; round < 30000; ++round) {
        const Labels labels = random_labels(random);
        const auto width = static_cast<std::int64_t>(2 * (random() % 9) + 1);
        const auto frames = static_cast<std::int64_t>(1 + random() % 9);
        const Labels mode = apply(kMode, labels, width);
        const Labels median = apply(kMedian, labels, width);
        const Labels dwell = apply(kDwell, labels, frames);
        for (const Labels &smoothed : {mode, median, dwell}) {
            CHECK(brings_no_label(labels, smoothed));
            CHECK(transitions(smoothed) <= transitions(labels));
        }
        CHECK((labels.empty() || shortest_inner_segment(dwell) >= static_cast<std::size_t>(frames) ||
               transitions(dwell) < 2));
        CHECK(apply(kDwell, dwell, frames) == dwell);
        if (labels.size() > 1 && *std::max_element(labels.begin(), labels.end()) <= -1) { // two labels at most
            CHECK(mode == median);
        }
    }
}

TEST_CASE("smoothing: inputs whose plain window filter gains transitions are brought back") {
    const Labels nominal{0, 0, 0, 2, 2, 1, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0};
    CHECK(transitions(apply(kMode, nominal, 11)) <= transitions(nominal));
    const Labels ordered{3, 3, 3, 3, 4, 4, 4, 3, 3, 3, 4, 4, 4, 4, 2, 2, 2, 2, 4, 4,
                         4, 4, 1, 1, 3, 2, 1, 4, 4, 4, 4, 0, 0, 0, 0, 1, 1, 1, 1, 2};
    CHECK(transitions(apply(kMedian, ordered, 5)) <= transitions(ordered));
}

TEST_CASE("smoothing: stated rules on examples") {
    CHECK(apply(kMode, {1, 2, 3}, 3) == Labels{1, 2, 3});             // equally frequent: its own
    CHECK(apply(kMode, {3, 3, 9, 1, 1}, 5) == Labels{3, 3, 1, 1, 1}); // 9 loses to 3 and 1: the smaller
    CHECK(apply(kMode, {1, 2, 2}, 1) == Labels{1, 2, 2});
    CHECK(apply(kMode, {1, 2, 2}, 101) == Labels{1, 2, 2}); // each end counts more for what is near it
    CHECK(apply(kMedian, {9, 1, 5, 5}, 3) == Labels{9, 5, 5, 5});
    CHECK(apply(kDwell, {1, 1, 2, 3, 3, 3}, 2) == Labels{1, 1, 3, 3, 3, 3}); // to the longer neighbour
    CHECK(apply(kDwell, {1, 1, 2, 3, 3}, 2) == Labels{1, 1, 1, 3, 3});       // of equals the earlier
    CHECK(apply(kDwell, {1, 1, 2, 1, 3, 3}, 2) == Labels{1, 1, 1, 1, 3, 3}); // neighbours become one
    CHECK(apply(kDwell, {7, 1, 1, 1, 8}, 3) == Labels{7, 1, 1, 1, 8});       // the ends stay
    CHECK(apply(kDwell, {1, 2}, 10) == Labels{1, 2});
    CHECK(apply(kDwell, {}, 10) == Labels{});
    CHECK(apply(kMode, {}, 3) == Labels{});
}

TEST_CASE("smoothing: hysteresis switches at its thresholds and never more often than the upper one") {
    std::mt19937 random(5);
    for (int round = 0; round < 2000; ++round) {
        std::vector<double> p(random() % 30);
        for (double &value : p) {
            value = static_cast<double>(random() % 11) / 10.0;
        }
        const double exit = static_cast<double>(random() % 11) / 10.0;
        const double enter = exit + static_cast<double>(random() % 4) / 10.0;
        const std::unique_ptr<bool[]> on(new bool[p.size() + 1]);
        hysteresis(p, enter, exit, {on.get(), p.size()});
        Labels switched;
        Labels above;
        bool state = false;
        for (std::size_t t = 0; t < p.size(); ++t) {
            state = p[t] >= enter || (state && p[t] >= exit);
            CHECK(on[t] == state);
            switched.push_back(on[t] ? 1 : 0);
            above.push_back(p[t] >= enter ? 1 : 0);
        }
        CHECK(transitions(switched) <= transitions(above));
    }
}
