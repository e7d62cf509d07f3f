#include "harness.hpp"

#include "conv2d/hsmm_posteriors.hpp"

#include <random>

namespace conv2d::bench {
namespace {

// Poisson durations around a third of D, no self-transitions, Gaussian emissions one deviation apart.
struct Problem {
    Problem(std::size_t frames_, std::size_t states_, std::size_t durations_)
        : frames(frames_), states(states_), durations(durations_), emissions(frames * states),
          transitions(states * states, std::log(1.0 / static_cast<double>(states - 1))),
          initial(states, std::log(1.0 / static_cast<double>(states))), lengths(states * durations) {
        std::mt19937 random(1);
        std::normal_distribution<double> normal;
        std::size_t truth = 0;
        std::poisson_distribution<std::size_t> length(static_cast<double>(durations) / 3.0);
        for (std::size_t t = 0, next = 0; t < frames; ++t) {
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
            transitions[k * states + k] = kNever;
            const double mean = static_cast<double>(durations) / 3.0;
            for (std::size_t d = 1; d <= durations; ++d) {
                const auto count = static_cast<double>(d - 1);
                lengths[k * durations + d - 1] = count * std::log(mean) - mean - std::lgamma(count + 1.0);
            }
        }
    }

    std::size_t frames, states, durations;
    std::vector<double> emissions, transitions, initial, lengths;
};

} // namespace

void bench_hsmm(Harness &harness) {
    struct Size {
        std::size_t frames, states, durations;
    };
    for (const Size size : {Size{1000, 8, 50}, Size{10'000, 8, 100}, Size{10'000, 8, 1}}) {
        const Problem problem(size.frames, size.states, size.durations);
        const Matrix<const double> emissions{problem.emissions.data(), size.frames, size.states};
        const HsmmModel model{{problem.transitions.data(), size.states, size.states},
                              problem.initial,
                              {problem.lengths.data(), size.states, size.durations},
                              Censoring::right};
        std::vector<double> shares(size.frames * size.states);
        const Matrix<double> out{shares.data(), size.frames, size.states};
        const std::string shape = "/" + std::to_string(size.frames) + "x" + std::to_string(size.states) + "x" +
                                  std::to_string(size.durations);
        const auto updates = static_cast<double>(size.frames * size.states * size.durations);
        harness.measure("hsmm_viterbi" + shape, updates, "update", [&] { keep(hsmm_viterbi(emissions, model)); });
        harness.measure("hsmm_forward_backward" + shape, updates, "update",
                        [&] { keep(hsmm_forward_backward(emissions, model, out)); });
        harness.measure("hsmm_filter" + shape, updates, "update", [&] { keep(hsmm_filter(emissions, model, out)); });
    }
}

} // namespace conv2d::bench
