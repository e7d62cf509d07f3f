#include "check.hpp"
#include "hsmm_reference.hpp"

#include "../src/hsmm_viterbi_pass.hpp"

#include "conv2d/simd.hpp"

#include <cstring>
#include <optional>

using namespace conv2d;
using conv2d::detail::ViterbiPass;
using conv2d::tests::Model;

namespace {

// Scores whose sums are exact, so that every order of adding gives the same bits and ties are real.
struct Problem {
    Problem(std::mt19937 &random, bool each_frame_, std::size_t longest) : each_frame(each_frame_) {
        const std::size_t counts[] = {1, 2, 4, 5, 8, 11, 13, 26};
        const std::size_t states = counts[random() % std::size(counts)];
        frames = 1 + random() % 300;
        model = {states, 1 + random() % longest, {}, {}, {}};
        const auto scores = [&](std::size_t count, unsigned never) {
            std::vector<double> values(count);
            for (double &value : values) {
                value = random() % 100 < never ? kNever : -static_cast<double>(random() % 4);
            }
            return values;
        };
        model.transitions = scores((each_frame ? frames : 1) * states * states, 5);
        model.initial = scores(states, 5);
        model.lengths = scores(states * model.durations, random() % 2 == 0 ? 0 : 60);
        emissions = scores(frames * states, 5);
        for (std::size_t t = 0; t < frames; ++t) {
            if (random() % 16 == 0) { // beyond the limit at which sums are moved into the places
                emissions[t * states + random() % states] -= 0x1p21;
            }
            if (t / 20 % 3 == 1) { // labelled: one state only
                for (std::size_t k = 0; k < states; ++k) {
                    emissions[t * states + k] = k == t / 20 % states ? -1.0 : kNever;
                }
            }
        }
        censoring = random() % 2 == 0 ? Censoring::none : Censoring::right;
    }

    [[nodiscard]] HsmmModel view() const {
        HsmmModel view = model.view(censoring);
        view.log_transitions.data = model.transitions.data();
        view.log_transitions.rows = (each_frame ? frames : 1) * model.states;
        return view;
    }
    [[nodiscard]] Matrix<const double> seen(std::size_t from, std::size_t to) const {
        return {emissions.data() + from * model.states, to - from, model.states};
    }
    [[nodiscard]] Matrix<const double> changes(std::size_t from, std::size_t to) const {
        if (!each_frame || frames == 1) {
            return {};
        }
        return {model.transitions.data() + from * model.states * model.states, (to - from) * model.states,
                model.states};
    }

    // ended[t] by the definition, O(T K (K + D)) without any sums of emissions.
    [[nodiscard]] std::vector<double> plain_recursion() const {
        const std::size_t states = model.states;
        std::vector<double> open(model.durations * states, kNever); // by frames so far
        std::vector<double> ended(states, kNever);
        for (std::size_t t = 0; t < frames; ++t) {
            const double *matrix = model.transitions.data() + (each_frame ? t : 0) * states * states;
            std::vector<double> entered(t == 0 ? model.initial : std::vector<double>(states, kNever));
            for (std::size_t from = 0; from < states && t > 0; ++from) {
                for (std::size_t to = 0; to < states; ++to) {
                    entered[to] = std::max(entered[to], ended[from] + matrix[from * states + to]);
                }
            }
            open.insert(open.begin(), entered.begin(), entered.end());
            open.resize(model.durations * states);
            std::fill(ended.begin(), ended.end(), kNever);
            for (std::size_t d = 0; d < model.durations; ++d) {
                for (std::size_t k = 0; k < states; ++k) {
                    open[d * states + k] += emissions[t * states + k];
                    ended[k] = std::max(ended[k], open[d * states + k] + model.lengths[k * model.durations + d]);
                }
            }
        }
        return ended;
    }

    bool each_frame;
    std::size_t frames = 0;
    Model model;
    std::vector<double> emissions;
    Censoring censoring = Censoring::none;
};

// Bits, not values: -inf equals -inf, and what differs in the last place differs.
std::vector<std::uint64_t> bits(std::span<const double> values) {
    std::vector<std::uint64_t> all(values.size());
    std::memcpy(all.data(), values.data(), values.size_bytes());
    return all;
}

struct PathOfThisTest {
    ~PathOfThisTest() { use_simd_path(before); }
    SimdPath before = simd_path();
};

} // namespace

TEST_CASE("hsmm_viterbi: on every path the pass ends where the plain recursion does") {
    const PathOfThisTest restore_path;
    std::mt19937 random(3);
    for (int round = 0; round < 150; ++round) {
        const Problem problem(random, round % 4 == 0, round % 3 == 0 ? 250 : 20);
        const auto expected = problem.plain_recursion();
        std::optional<std::vector<Segment>> segments;
        for (const SimdPath path : simd_paths()) {
            use_simd_path(path);
            ViterbiPass pass(problem.view(), problem.frames);
            pass.push(problem.seen(0, problem.frames), problem.changes(0, problem.frames));
            bool possible = false;
            for (std::size_t k = 0; k < expected.size(); ++k) {
                CHECK(pass.absolute(pass.ended()[k]) == expected[k]);
                possible = possible || expected[k] > kNever;
            }
            if (!possible) {
                continue;
            }
            const auto timeline = hsmm_viterbi(problem.seen(0, problem.frames), problem.view());
            if (!segments) {
                segments = timeline.segments;
            }
            CHECK(timeline.segments == *segments);
        }
    }
}

TEST_CASE("hsmm_viterbi: pieces, saved states and forgotten places change no bit") {
    std::mt19937 random(5);
    for (int round = 0; round < 120; ++round) {
        const Problem problem(random, round % 4 == 0, round % 3 == 0 ? 250 : 20);
        ViterbiPass whole(problem.view());
        whole.push(problem.seen(0, problem.frames), problem.changes(0, problem.frames));
        std::optional<ViterbiPass> pass(problem.view());
        for (std::size_t t = 0; t < problem.frames;) {
            const std::size_t next = std::min<std::size_t>(problem.frames, t + 1 + random() % 20);
            pass->push(problem.seen(t, next), problem.changes(t, next));
            t = next;
            if (random() % 4 == 0) {
                pass->forget_before(t - std::min(t, pass->window() + random() % 40));
            }
            if (random() % 4 == 0) {
                const auto bytes = pass->save();
                pass.emplace(problem.view());
                pass->restore(bytes);
                CHECK(pass->save() == bytes);
                CHECK(!tests::message_of([&] { pass->restore(std::span(bytes).first(bytes.size() - 1)); }).empty());
            }
        }
        CHECK(bits(pass->ended()) == bits(whole.ended()));
        CHECK(bits(pass->end_scores()) == bits(whole.end_scores()));
        CHECK(pass->absolute(0.0) == whole.absolute(0.0));
        for (std::size_t k = 0; k < problem.model.states; ++k) {
            if (whole.ended()[k] == kNever) {
                continue;
            }
            const std::size_t frames = whole.duration(problem.frames, k);
            CHECK(pass->duration(problem.frames, k) == frames);
            const std::size_t place = problem.frames - frames;
            if (place > 0 && place >= pass->begin()) {
                CHECK(pass->origin(place, k) == whole.origin(place, k));
            }
        }
    }
}

TEST_CASE("hsmm_viterbi: scores of many frames stay exact") {
    // Whole scores that add up to far beyond where they are taken back, with ties all along.
    for (const std::size_t durations : {std::size_t{1}, std::size_t{70}}) {
        constexpr std::size_t kFrames = 30'000;
        Model model{3, durations, std::vector<double>(9, -2.0), {0.0, 0.0, 0.0}, {}};
        model.lengths.assign(3 * durations, -1.0);
        std::vector<double> emissions(3 * kFrames, -1e9);
        const Timeline timeline = hsmm_viterbi({emissions.data(), kFrames, 3}, model.view(Censoring::none));
        const auto segments = static_cast<double>((kFrames + durations - 1) / durations);
        CHECK(timeline.score == -1e9 * static_cast<double>(kFrames) - segments - 2.0 * (segments - 1.0));
    }
}

TEST_CASE("hsmm_viterbi: many recordings over threads are those of one") {
    std::mt19937 random(9);
    const Model model{3, 12, std::vector<double>(9, -1.0), {0.0, -1.0, -2.0}, std::vector<double>(36, -0.5)};
    std::vector<std::vector<double>> emissions(25);
    std::vector<Matrix<const double>> recordings;
    for (std::size_t n = 0; n < emissions.size(); ++n) {
        emissions[n].resize(n * 40 * 3);
        for (double &score : emissions[n]) {
            score = -static_cast<double>(random() % 1000) / 7.0;
        }
        recordings.push_back({emissions[n].data(), n * 40, 3});
    }
    for (const std::size_t threads : {std::size_t{0}, std::size_t{1}, std::size_t{4}}) {
        const auto timelines = hsmm_viterbi_many(recordings, model.view(Censoring::right), threads);
        REQUIRE(timelines.size() == recordings.size());
        for (std::size_t n = 0; n < recordings.size(); ++n) {
            const Timeline alone = hsmm_viterbi(recordings[n], model.view(Censoring::right));
            CHECK(timelines[n].score == alone.score);
            CHECK(timelines[n].segments == alone.segments);
        }
    }
    emissions[7][5] = std::nan("");
    emissions[9][0] = std::nan("");
    CHECK(tests::message_of([&] {
              static_cast<void>(hsmm_viterbi_many(recordings, model.view(Censoring::right), 3));
          }).rfind("recording 7: log_emissions row 1, column 2 is nan", 0) == 0);
}
