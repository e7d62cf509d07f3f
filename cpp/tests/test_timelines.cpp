#include "check.hpp"

#include "conv2d/hsmm_posteriors.hpp"
#include "conv2d/timelines.hpp"

#include "conv2d/simd.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

using namespace conv2d;
using conv2d::tests::close;
using conv2d::tests::message_of;

namespace {

struct Problem {
    std::size_t frames, states, durations;
    std::vector<double> emissions, transitions, initial, lengths;

    [[nodiscard]] Matrix<const double> seen() const { return {emissions.data(), frames, states}; }
    [[nodiscard]] HsmmModel model(Censoring censoring = Censoring::none) const {
        return {{transitions.data(), states, states}, initial, {lengths.data(), states, durations}, censoring};
    }
};

Problem random_problem(std::mt19937 &random, std::size_t frames, std::size_t states, std::size_t durations) {
    const auto scores = [&](std::size_t count) {
        std::vector<double> values(count);
        for (double &value : values) {
            value = random() % 7 == 0 ? kNever : -4.0 * std::uniform_real_distribution<>()(random);
        }
        return values;
    };
    return {frames,
            states,
            durations,
            scores(frames * states),
            scores(states * states),
            scores(states),
            scores(states * durations)};
}

using Labels = std::vector<std::int64_t>;

// All segmentations of finite score, uncensored.
std::vector<std::pair<double, std::vector<Segment>>> all_segmentations(const Problem &of) {
    std::vector<std::pair<double, std::vector<Segment>>> found;
    std::vector<Segment> path;
    const std::function<void(std::size_t, double)> grow = [&](std::size_t start, double score) {
        if (score == kNever) {
            return;
        }
        if (start == of.frames) {
            found.emplace_back(score, path);
            return;
        }
        for (std::size_t k = 0; k < of.states; ++k) {
            double seen = path.empty() ? of.initial[k]
                                       : of.transitions[static_cast<std::size_t>(path.back().state) * of.states + k];
            for (std::size_t d = 1; d <= std::min(of.durations, of.frames - start); ++d) {
                seen += of.emissions[(start + d - 1) * of.states + k];
                path.push_back({static_cast<std::int64_t>(k), static_cast<std::int64_t>(start),
                                static_cast<std::int64_t>(start + d)});
                grow(start + d, score + seen + of.lengths[k * of.durations + d - 1]);
                path.pop_back();
            }
        }
    };
    grow(0, 0.0);
    return found;
}

Labels labels_of(const std::vector<Segment> &segments) {
    Labels labels;
    for (const Segment &segment : segments) {
        labels.resize(static_cast<std::size_t>(segment.end), segment.state);
    }
    return labels;
}

} // namespace

TEST_CASE("timelines: the k best of all segmentations, and of all sequences of labels") {
    std::mt19937 random(3);
    int possible = 0;
    for (int round = 0; round < 200; ++round) {
        const Problem problem = random_problem(random, 1 + random() % 5, 1 + random() % 3, 1 + random() % 5);
        auto all = all_segmentations(problem);
        if (all.empty()) {
            CHECK(!message_of([&] { static_cast<void>(hsmm_kbest(problem.seen(), problem.model(), 3)); }).empty());
            continue;
        }
        ++possible;
        std::map<Labels, double> by_labels;
        std::vector<double> scores;
        for (const auto &[score, path] : all) {
            scores.push_back(score);
            double &best = by_labels.try_emplace(labels_of(path), kNever).first->second;
            best = std::max(best, score);
        }
        std::sort(scores.rbegin(), scores.rend());
        const auto segments = hsmm_kbest(problem.seen(), problem.model(), scores.size() + 5);
        REQUIRE(segments.size() == scores.size());
        std::set<std::vector<std::pair<std::int64_t, std::int64_t>>> distinct;
        for (std::size_t n = 0; n < scores.size(); ++n) {
            CHECK(close(segments[n].score, scores[n]));
            std::vector<std::pair<std::int64_t, std::int64_t>> key;
            for (const Segment &segment : segments[n].segments) {
                key.emplace_back(segment.state, segment.end);
            }
            CHECK(distinct.insert(key).second);
        }
        const auto joined = hsmm_kbest(problem.seen(), problem.model(), scores.size(), Distinct::labels);
        CHECK(joined.size() == by_labels.size());
        for (const Timeline &timeline : joined) {
            CHECK(close(timeline.score, by_labels.at(labels_of(timeline.segments))));
        }
        CHECK(segments.front().score == hsmm_viterbi(problem.seen(), problem.model()).score);
        CHECK(segments.front().segments == hsmm_viterbi(problem.seen(), problem.model()).segments);
    }
    CHECK(possible > 50);
}

TEST_CASE("timelines: the largest expected number of right frames of all possible timelines") {
    std::mt19937 random(5);
    for (int round = 0; round < 200; ++round) {
        const Problem problem = random_problem(random, 1 + random() % 5, 1 + random() % 3, 1 + random() % 5);
        const auto all = all_segmentations(problem);
        if (all.empty()) {
            continue;
        }
        std::vector<double> posteriors(problem.frames * problem.states);
        hsmm_forward_backward(problem.seen(), problem.model(), {posteriors.data(), problem.frames, problem.states});
        const auto accuracy = [&](const Labels &labels) {
            double sum = 0.0;
            for (std::size_t t = 0; t < labels.size(); ++t) {
                sum += posteriors[t * problem.states + static_cast<std::size_t>(labels[t])];
            }
            return sum / static_cast<double>(problem.frames);
        };
        double best = 0.0;
        std::set<Labels> possible;
        for (const auto &[score, path] : all) {
            best = std::max(best, accuracy(labels_of(path)));
            possible.insert(labels_of(path));
        }
        const Decision decision = hsmm_mbr_samples(problem.seen(), problem.model());
        CHECK(close(decision.expected, best));
        CHECK(close(accuracy(labels_of(decision.timeline.segments)), best));
        for (const double overlap : {0.5, 0.75, 1.0}) {
            const Decision by_segments = hsmm_mbr_segments(problem.seen(), problem.model(), overlap);
            const Labels labels = labels_of(by_segments.timeline.segments);
            CHECK(possible.count(labels) == 1);
            const Expectation expected = hsmm_expected_scores(problem.seen(), problem.model(), labels, overlap);
            CHECK(close(expected.f1, by_segments.expected));
            CHECK(close(expected.accuracy, accuracy(labels)));
            for (const Labels &other : possible) {
                CHECK(hsmm_expected_scores(problem.seen(), problem.model(), other, overlap).f1 <= expected.f1 + 0.01);
            }
        }
    }
}

TEST_CASE("timelines: every path gives the k best of the scalar one") {
    std::mt19937 random(9);
    Problem problem = random_problem(random, 700, 5, 90);
    std::fill(problem.initial.begin(), problem.initial.end(), 0.0);
    for (double *scores : {problem.emissions.data(), problem.lengths.data(), problem.transitions.data()}) {
        scores[0] = 0.0; // something stays possible
    }
    std::replace(problem.emissions.begin(), problem.emissions.end(), kNever, -6.0);
    const SimdPath before = simd_path();
    use_simd_path(SimdPath::scalar);
    const auto expected = hsmm_kbest(problem.seen(), problem.model(Censoring::both), 40, Distinct::labels);
    const Decision decision = hsmm_mbr_samples(problem.seen(), problem.model(Censoring::both));
    for (const SimdPath path : simd_paths()) {
        use_simd_path(path);
        const auto got = hsmm_kbest(problem.seen(), problem.model(Censoring::both), 40, Distinct::labels);
        REQUIRE(got.size() == expected.size());
        for (std::size_t n = 0; n < got.size(); ++n) {
            CHECK(got[n].score == expected[n].score);
            CHECK(got[n].segments == expected[n].segments);
        }
        CHECK(hsmm_mbr_samples(problem.seen(), problem.model(Censoring::both)).timeline.segments ==
              decision.timeline.segments);
    }
    use_simd_path(before);
}

TEST_CASE("timelines: nothing is certain, and what cannot be used is refused") {
    const Problem problem{0, 2, 3, {}, std::vector<double>(4, 0.0), {0.0, 0.0}, std::vector<double>(6, 0.0)};
    CHECK(hsmm_kbest(problem.seen(), problem.model(), 5).size() == 1);
    CHECK(hsmm_mbr_samples(problem.seen(), problem.model()).expected == 1.0);
    CHECK(hsmm_mbr_segments(problem.seen(), problem.model()).timeline.segments.empty());
    CHECK(hsmm_expected_scores(problem.seen(), problem.model(), {}).f1 == 1.0);
    CHECK(message_of([&] { static_cast<void>(hsmm_kbest(problem.seen(), problem.model(), 0)); }) ==
          "k is 0, expected at least 1 timeline");
    CHECK(!message_of([&] { static_cast<void>(hsmm_mbr_segments(problem.seen(), problem.model(), 0.4)); }).empty());
    const Labels labels{0};
    CHECK(
        !message_of([&] { static_cast<void>(hsmm_expected_scores(problem.seen(), problem.model(), labels)); }).empty());
}
