#include "harness.hpp"

#include "conv2d/hsmm_posteriors.hpp"
#include "conv2d/stream.hpp"
#include "conv2d/timelines.hpp"

#include <algorithm>
#include <cmath>
#include <random>

namespace conv2d::bench {
namespace {

enum class Law { poisson, negative_binomial, gaussian, uniform };

constexpr Law kLaws[] = {Law::poisson, Law::negative_binomial, Law::gaussian, Law::uniform};

std::string name_of(Law law) {
    constexpr const char *kNames[] = {"poisson", "negative_binomial", "gaussian", "uniform"};
    return kNames[static_cast<std::size_t>(law)];
}

// Log weight of a duration of d frames of at most `durations`, with a mean around a third of that.
double log_weight(Law law, std::size_t d, std::size_t durations) {
    const auto count = static_cast<double>(d - 1);
    const double mean = std::max(1.0, static_cast<double>(durations) / 3.0);
    switch (law) {
    case Law::poisson:
        return count * std::log(mean) - mean - std::lgamma(count + 1.0);
    case Law::negative_binomial: { // variance: mean + mean^2 / r
        constexpr double kSize = 4.0;
        return std::lgamma(count + kSize) - std::lgamma(kSize) - std::lgamma(count + 1.0) +
               kSize * std::log(kSize / (kSize + mean)) + count * std::log(mean / (kSize + mean));
    }
    case Law::gaussian: {
        const double away = (count - mean) / (0.3 * mean);
        return -0.5 * away * away - std::log(0.3 * mean);
    }
    case Law::uniform:
        return -std::log(static_cast<double>(durations));
    }
    return 0.0;
}

// No self-transitions; Gaussian emissions one deviation apart, or none at all (flat).
struct Problem {
    Problem(std::size_t frames_, std::size_t states_, std::size_t durations_, Law law, bool flat)
        : frames(frames_), states(states_), durations(durations_), emissions(frames * states),
          transitions(states * states, std::log(1.0 / static_cast<double>(states - 1))),
          initial(states, std::log(1.0 / static_cast<double>(states))), lengths(states * durations) {
        std::mt19937 random(1);
        std::normal_distribution<double> normal;
        std::poisson_distribution<std::size_t> length(static_cast<double>(durations) / 3.0);
        std::size_t truth = 0;
        for (std::size_t t = 0, next = 0; t < frames && !flat; ++t) {
            if (t == next) {
                truth = (truth + 1 + random() % (states - 1)) % states;
                next += 1 + length(random);
            }
            const double x = static_cast<double>(truth) + normal(random);
            for (std::size_t k = 0; k < states; ++k) {
                const double error = x - static_cast<double>(k);
                emissions[t * states + k] = -0.5 * error * error;
            }
        }
        for (std::size_t k = 0; k < states; ++k) {
            transitions[k * states + k] = durations > 1 ? kNever : transitions[k * states + k];
            for (std::size_t d = 1; d <= durations; ++d) {
                lengths[k * durations + d - 1] = log_weight(law, d, durations);
            }
        }
    }

    [[nodiscard]] Matrix<const double> seen() const { return {emissions.data(), frames, states}; }
    [[nodiscard]] HsmmModel model() const {
        return {{transitions.data(), states, states}, initial, {lengths.data(), states, durations}, Censoring::right};
    }

    std::size_t frames, states, durations;
    std::vector<double> emissions, transitions, initial, lengths;
};

void bench_size(Harness &harness, std::size_t frames, std::size_t states, std::size_t durations) {
    const std::string shape =
        "/" + std::to_string(frames) + "x" + std::to_string(states) + "x" + std::to_string(durations);
    const Problem problem(frames, states, durations, Law::poisson, false);
    const Matrix<const double> seen = problem.seen();
    const HsmmModel model = problem.model();
    std::vector<double> shares(frames * states);
    const Matrix<double> out{shares.data(), frames, states};
    const auto updates = static_cast<double>(frames * states * durations);
    harness.measure("hsmm_viterbi" + shape, updates, "update", [&] { keep(hsmm_viterbi(seen, model)); });
    harness.measure("hsmm_forward_backward" + shape, updates, "update",
                    [&] { keep(hsmm_forward_backward(seen, model, out)); });
    harness.measure("hsmm_expected_counts" + shape, updates, "update",
                    [&] { keep(hsmm_expected_counts(seen, model, out)); });
    harness.measure("hsmm_filter" + shape, updates, "update", [&] { keep(hsmm_filter(seen, model, out)); });
    harness.measure("hsmm_kbest_10" + shape, updates, "update", [&] { keep(hsmm_kbest(seen, model, 10)); });
}

// One stream that goes on and on, the same recording pushed over and over.
void bench_stream(Harness &harness) {
    constexpr std::size_t kFrames = 100'000;
    const Problem problem(kFrames, 8, 200, Law::poisson, false);
    StreamOptions options;
    options.check_frames = 1000;
    HsmmStream stream(problem.model(), options);
    harness.measure("hsmm_stream/100000x8x200", static_cast<double>(kFrames), "frame", [&] {
        StreamOutput output;
        stream.push(problem.seen(), output);
        keep(output);
    });
}

} // namespace

void bench_hsmm(Harness &harness) {
    bench_stream(harness);
    struct Size {
        std::size_t frames, states, durations;
    };
    for (const Size size : {Size{1000, 8, 50}, Size{10'000, 8, 100}, Size{100'000, 12, 200}, Size{10'000, 64, 100},
                            Size{10'000, 8, 1}, Size{100'000, 12, 1}}) {
        bench_size(harness, size.frames, size.states, size.durations);
    }
    constexpr std::size_t kFrames = 40'000;
    constexpr std::size_t kStates = 8;
    for (const Law law : kLaws) {
        for (const bool flat : {false, true}) {
            for (const std::size_t durations : {100u, 300u, 1000u, 3000u, 10'000u}) {
                const std::string name = "growth_" + name_of(law) + (flat ? "_flat" : "_informative") + "/" +
                                         std::to_string(kFrames) + "x" + std::to_string(kStates) + "x" +
                                         std::to_string(durations);
                const Problem problem(kFrames, kStates, durations, law, flat);
                harness.measure(name, static_cast<double>(kFrames * kStates), "frame and state",
                                [&] { keep(hsmm_viterbi(problem.seen(), problem.model())); });
            }
        }
    }
}

} // namespace conv2d::bench
