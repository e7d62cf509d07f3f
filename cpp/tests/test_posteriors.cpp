#include "check.hpp"
#include "hsmm_reference.hpp"

#include "conv2d/hsmm_posteriors.hpp"

#include <array>
#include <map>

using namespace conv2d;
using namespace conv2d::tests;

TEST_CASE("posteriors: counts, segments and boundaries equal the sums over all segmentations") {
    Random random{std::mt19937(17), false};
    int possible = 0;
    for (int round = 0; round < 200; ++round) {
        const std::size_t frames = 1 + random.engine() % 5;
        const std::size_t states = 1 + random.engine() % 3;
        Model model{states, 1 + random.engine() % 7, {}, {}, {}};
        model.transitions = random.scores(states * states);
        model.initial = random.scores(states);
        model.lengths = random.scores(states * model.durations);
        const auto emissions = random.scores(frames * states);
        const Matrix<const double> seen{emissions.data(), frames, states};
        for (const Censoring censoring : kAll) {
            const bool from_left = censoring == Censoring::left || censoring == Censoring::both;
            const bool to_right = censoring == Censoring::right || censoring == Censoring::both;
            double evidence = kNever;
            enumerate(model, emissions, frames, censoring,
                      [&](const std::vector<Segment> &, double score) { evidence = add(evidence, score); });
            if (evidence == kNever) {
                continue;
            }
            ++possible;
            const auto zeros = [](std::size_t count) { return std::vector<double>(count, 0.0); };
            auto initial = zeros(states), transitions = zeros(states * states);
            std::array<std::vector<double>, 4> lengths; // complete, cut left, cut right, cut at both ends
            lengths.fill(zeros(states * model.durations));
            auto begins = zeros(frames * states), ends = zeros(frames * states), shares = zeros(frames * states);
            std::map<std::array<std::int64_t, 3>, double> segments;
            enumerate(model, emissions, frames, censoring, [&](const std::vector<Segment> &path, double score) {
                const double share = std::exp(score - evidence);
                if (share == 0.0) {
                    return;
                }
                for (std::size_t n = 0; n < path.size(); ++n) {
                    const auto state = static_cast<std::size_t>(path[n].state);
                    const auto start = static_cast<std::size_t>(path[n].start);
                    const auto end = static_cast<std::size_t>(path[n].end);
                    if (n == 0) {
                        initial[state] += share;
                    } else {
                        transitions[static_cast<std::size_t>(path[n - 1].state) * states + state] += share;
                    }
                    const std::size_t cut = (start == 0 && from_left ? 1u : 0u) + (end == frames && to_right ? 2u : 0u);
                    lengths[cut][state * model.durations + end - start - 1] += share;
                    begins[start * states + state] += share;
                    ends[(end - 1) * states + state] += share;
                    segments[{path[n].state, path[n].start, path[n].end}] += share;
                    for (std::size_t t = start; t < end; ++t) {
                        shares[t * states + state] += share;
                    }
                }
            });
            const HsmmModel view = model.view(censoring);
            const auto equal = [](const std::vector<double> &got, const std::vector<double> &expected) {
                return std::equal(got.begin(), got.end(), expected.begin(), expected.end(),
                                  [](double a, double b) { return close(a, b, 1e-10); });
            };
            auto posteriors = zeros(frames * states);
            const auto counts = hsmm_expected_counts(seen, view, {posteriors.data(), frames, states});
            CHECK(close(counts.log_likelihood, evidence));
            CHECK(equal(posteriors, shares));
            CHECK(equal(counts.initial, initial));
            CHECK(equal(counts.transitions, transitions));
            CHECK(equal(counts.durations, lengths[0]));
            CHECK(equal(counts.cut_left, lengths[1]));
            CHECK(equal(counts.cut_right, lengths[2]));
            CHECK(equal(counts.cut_both, lengths[3]));

            auto got_begins = zeros(frames * states), got_ends = zeros(frames * states);
            hsmm_boundary_posteriors(seen, view, {got_begins.data(), frames, states},
                                     {got_ends.data(), frames, states});
            CHECK(equal(got_begins, begins));
            CHECK(equal(got_ends, ends));

            std::vector<Segment> wanted;
            std::vector<double> expected;
            for (std::size_t state = 0; state < states; ++state) {
                for (std::size_t start = 0; start < frames; ++start) {
                    for (std::size_t end = start + 1; end <= frames; ++end) {
                        wanted.push_back({static_cast<std::int64_t>(state), static_cast<std::int64_t>(start),
                                          static_cast<std::int64_t>(end)});
                        expected.push_back(segments[{wanted.back().state, wanted.back().start, wanted.back().end}]);
                    }
                }
            }
            auto got = zeros(wanted.size());
            CHECK(close(hsmm_segment_posteriors(seen, view, wanted, got), evidence));
            CHECK(equal(got, expected));
        }
    }
    CHECK(possible > 200);
}

TEST_CASE("posteriors: a segment out of range is named") {
    const Model model{2, 3, std::vector<double>(4, 0.0), {0.0, 0.0}, std::vector<double>(6, 0.0)};
    const std::vector<double> emissions(8, 0.0);
    std::vector<double> share(2);
    const auto message = [&](Segment bad) {
        const std::vector<Segment> segments{{0, 0, 1}, bad};
        return message_of([&] {
            hsmm_segment_posteriors({emissions.data(), 4, 2}, model.view(Censoring::none), segments, share);
        });
    };
    CHECK(message({1, 3, 4}).empty());
    CHECK(message({2, 0, 1}) == "segments row 1 has state 2, expected 0 to 1, a column of log_emissions");
    CHECK(message({-1, 0, 1}) == "segments row 1 has state -1, expected 0 to 1, a column of log_emissions");
    for (const Segment bad : {Segment{0, -1, 2}, Segment{0, 2, 2}, Segment{0, 3, 1}, Segment{0, 3, 5}}) {
        CHECK(message(bad) == "segments row 1 has start " + std::to_string(bad.start) + " and end " +
                                  std::to_string(bad.end) +
                                  ", expected 0 <= start < end <= 4, the rows of log_emissions");
    }
}
