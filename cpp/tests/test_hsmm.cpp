#include "check.hpp"
#include "hsmm_reference.hpp"

#include "conv2d/hsmm_posteriors.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

using namespace conv2d;
using namespace conv2d::tests;

TEST_CASE("hsmm: viterbi, likelihood, posteriors and filter equal the sum over all segmentations") {
    Random random{std::mt19937(7), false};
    int possible = 0;
    for (int round = 0; round < 300; ++round) {
        const std::size_t frames = 1 + random.engine() % 5;
        const std::size_t states = 1 + random.engine() % 3;
        Model model{states, 1 + random.engine() % 7, {}, {}, {}};
        model.transitions = random.scores(states * states);
        model.initial = random.scores(states);
        model.lengths = random.scores(states * model.durations);
        const auto emissions = random.scores(frames * states);
        const Matrix<const double> seen{emissions.data(), frames, states};
        for (const Censoring censoring : kAll) {
            double best = kNever;
            double evidence = kNever;
            std::vector<double> shares(frames * states, 0.0);
            enumerate(model, emissions, frames, censoring, [&](const std::vector<Segment> &path, double score) {
                best = std::max(best, score);
                evidence = add(evidence, score);
                for (const Segment &segment : path) {
                    for (auto t = segment.start; t < segment.end; ++t) {
                        shares[static_cast<std::size_t>(t) * states + static_cast<std::size_t>(segment.state)] +=
                            std::exp(score);
                    }
                }
            });
            const HsmmModel view = model.view(censoring);
            std::vector<double> posteriors(frames * states);
            const Matrix<double> out{posteriors.data(), frames, states};
            if (best == kNever) {
                CHECK(!tests::message_of([&] { static_cast<void>(hsmm_viterbi(seen, view)); }).empty());
                CHECK(!tests::message_of([&] { hsmm_forward_backward(seen, view, out); }).empty());
                continue;
            }
            ++possible;
            const Timeline timeline = hsmm_viterbi(seen, view);
            CHECK(close(timeline.score, best));
            CHECK(close(hsmm_forward_backward(seen, view, out), evidence));
            for (std::size_t i = 0; i < posteriors.size(); ++i) {
                CHECK(close(posteriors[i], shares[i] / std::exp(evidence)));
            }
            if (censoring == Censoring::right || censoring == Censoring::both) {
                std::vector<double> filtered(frames * states);
                CHECK(close(hsmm_filter(seen, view, {filtered.data(), frames, states}), evidence));
                for (std::size_t k = 0; k < states; ++k) { // at the last frame, filtered and smoothed are one
                    CHECK(close(filtered[(frames - 1) * states + k], posteriors[(frames - 1) * states + k]));
                }
            }
        }
    }
    CHECK(possible > 300);
}

TEST_CASE("hsmm: equal scores are decided from the end by state, then by duration") {
    Random random{std::mt19937(11), true};
    // The order as a key: final state, its duration, the state before it, its duration, and so on.
    const auto key = [](const std::vector<Segment> &path) {
        std::vector<std::int64_t> numbers;
        for (auto segment = path.rbegin(); segment != path.rend(); ++segment) {
            numbers.insert(numbers.end(), {segment->state, segment->end - segment->start});
        }
        return numbers;
    };
    for (int round = 0; round < 400; ++round) {
        const std::size_t frames = 1 + random.engine() % 5;
        const std::size_t states = 1 + random.engine() % 3;
        Model model{states, 1 + random.engine() % 5, {}, {}, {}};
        model.transitions = random.scores(states * states);
        model.initial = random.scores(states);
        model.lengths = random.scores(states * model.durations);
        const auto emissions = random.scores(frames * states);
        double best = kNever;
        std::vector<Segment> expected;
        enumerate(model, emissions, frames, Censoring::none, [&](const std::vector<Segment> &path, double score) {
            if (score > best || (score == best && score != kNever && key(path) < key(expected))) {
                best = score;
                expected = path;
            }
        });
        if (best != kNever) {
            const Timeline timeline = hsmm_viterbi({emissions.data(), frames, states}, model.view(Censoring::none));
            CHECK(timeline.score == best);
            CHECK(timeline.segments == expected);
        }
    }
}

TEST_CASE("hsmm: of hundreds of equal durations the shortest wins") {
    const Model model{2, 200, std::vector<double>(4, 0.0), {0.0, 0.0}, std::vector<double>(400, 0.0)};
    const std::vector<double> emissions(2 * 300, 0.0);
    const Timeline timeline = hsmm_viterbi({emissions.data(), 300, 2}, model.view(Censoring::none));
    REQUIRE(timeline.segments.size() == 300);
    for (std::int64_t t = 0; t < 300; ++t) {
        CHECK(timeline.segments[static_cast<std::size_t>(t)] == Segment{0, t, t + 1});
    }
}

TEST_CASE("hsmm: one huge score leaves the others their digits") {
    // 40 frames that prefer the states in turns, then one frame that all but forbids state 0: what comes after it must
    // be decided by scores that are a 10^18th of that one.
    Model model{2, 30, {kNever, 0.0, 0.0, kNever}, {0.0, 0.0}, std::vector<double>(60, -1.0)};
    std::vector<double> emissions;
    for (int t = 0; t < 120; ++t) {
        const bool first = (t / 20) % 2 == 0;
        emissions.push_back(first ? 0.0 : -0.5);
        emissions.push_back(first ? -0.5 : 0.0);
    }
    emissions[2 * 30] = -1e18;
    const Timeline timeline = hsmm_viterbi({emissions.data(), 120, 2}, model.view(Censoring::none));
    const std::vector<Segment> expected{{0, 0, 20}, {1, 20, 40}, {0, 40, 60}, {1, 60, 80}, {0, 80, 100}, {1, 100, 120}};
    CHECK(timeline.segments == expected);
    CHECK(timeline.score == -6.0);
}

TEST_CASE("hsmm: an empty recording is certain") {
    const Model model{2, 3, std::vector<double>(4, 0.0), {0.0, 0.0}, std::vector<double>(6, 0.0)};
    for (const Censoring censoring : kAll) {
        const Timeline timeline = hsmm_viterbi({nullptr, 0, 2}, model.view(censoring));
        CHECK(timeline.score == 0.0);
        CHECK(timeline.segments.empty());
        CHECK(hsmm_forward_backward({nullptr, 0, 2}, model.view(censoring), {nullptr, 0, 2}) == 0.0);
        CHECK(hsmm_filter({nullptr, 0, 2}, model.view(censoring), {nullptr, 0, 2}) == 0.0);
    }
}

TEST_CASE("hsmm: durations of many blocks, against a plain recursion") {
    // Long duration tables take the blocked path of the maximum; the plain one is O(T K^2 D) without prefix sums.
    Random random{std::mt19937(13), false};
    for (int round = 0; round < 10; ++round) {
        const std::size_t frames = 200 + random.engine() % 200;
        const std::size_t states = 1 + random.engine() % 4;
        Model model{states, 60 + random.engine() % 200, {}, {}, {}};
        model.transitions = random.scores(states * states);
        model.initial = random.scores(states);
        model.lengths = random.scores(states * model.durations);
        model.initial[0] = model.transitions[0] = model.lengths[0] = 0.0; // never impossible
        auto emissions = random.scores(frames * states);
        for (std::size_t t = 0; t < frames; ++t) {
            emissions[t * states] = -1.0;
        }
        std::vector<double> ended((frames + 1) * states, kNever);
        for (std::size_t end = 1; end <= frames; ++end) {
            for (std::size_t state = 0; state < states; ++state) {
                double seen = 0.0;
                for (std::size_t d = 1; d <= std::min(end, model.durations); ++d) {
                    seen += emissions[(end - d) * states + state];
                    double entry = end == d ? model.initial[state] : kNever;
                    for (std::size_t from = 0; from < states && end > d; ++from) {
                        entry = std::max(entry,
                                         ended[(end - d) * states + from] + model.transitions[from * states + state]);
                    }
                    double &score = ended[end * states + state];
                    score = std::max(score, entry + seen + model.lengths[state * model.durations + d - 1]);
                }
            }
        }
        const double best = *std::max_element(ended.end() - static_cast<std::ptrdiff_t>(states), ended.end());
        CHECK(close(hsmm_viterbi({emissions.data(), frames, states}, model.view(Censoring::none)).score, best));
    }
}
