// hsmm_forward_backward and hsmm_filter against sums in log space by the definition, on all SIMD paths.
#include "hsmm_problem.hpp"

using namespace conv2d;
using namespace conv2d::fuzz;

namespace {

struct Sums {
    double log_likelihood;
    std::vector<double> posteriors;
};

// O(T K (K + D)) log additions; the posteriors by segment, summed over the frames of each.
Sums plain_forward_backward(const HsmmProblem &problem, const Survivors &survivors) {
    const std::size_t frames = problem.frames;
    const std::size_t states = problem.states;
    const auto segment = [&](std::size_t k, std::size_t start, std::size_t end) {
        double score = length_weight(problem, survivors, k, start, end);
        for (std::size_t t = start; t < end; ++t) {
            score += problem.emissions[t * states + k];
        }
        return score;
    };
    std::vector<double> enters((frames + 1) * states, kNever); // weight of all that begins a segment here
    std::vector<double> leaves((frames + 1) * states, kNever); // weight of all that follows a segment which ends here
    std::copy(problem.initial.begin(), problem.initial.end(), enters.begin());
    std::fill_n(leaves.begin() + static_cast<std::ptrdiff_t>(frames * states), states, 0.0);
    for (std::size_t end = 1; end < frames; ++end) {
        for (std::size_t from = 0; from < states; ++from) {
            double ended = kNever;
            for (std::size_t start = end - std::min(end, problem.durations); start < end; ++start) {
                ended = Survivors::add(ended, enters[start * states + from] + segment(from, start, end));
            }
            for (std::size_t to = 0; to < states; ++to) {
                double &sum = enters[end * states + to];
                sum = Survivors::add(sum, ended + problem.change(end, from, to));
            }
        }
    }
    for (std::size_t start = frames; start-- > 1;) {
        for (std::size_t to = 0; to < states; ++to) {
            double begun = kNever;
            for (std::size_t end = start + 1; end <= std::min(frames, start + problem.durations); ++end) {
                begun = Survivors::add(begun, leaves[end * states + to] + segment(to, start, end));
            }
            for (std::size_t from = 0; from < states; ++from) {
                double &sum = leaves[start * states + from];
                sum = Survivors::add(sum, begun + problem.change(start, from, to));
            }
        }
    }
    Sums sums{kNever, std::vector<double>(frames * states, 0.0)};
    for (const bool counting : {true, false}) {
        for (std::size_t k = 0; k < states; ++k) {
            for (std::size_t start = 0; start < frames; ++start) {
                for (std::size_t end = start + 1; end <= std::min(frames, start + problem.durations); ++end) {
                    if (counting && end != frames) {
                        continue;
                    }
                    const double weight =
                        enters[start * states + k] + segment(k, start, end) + leaves[end * states + k];
                    if (counting) {
                        sums.log_likelihood = Survivors::add(sums.log_likelihood, weight);
                    } else if (weight != kNever) {
                        for (std::size_t t = start; t < end; ++t) {
                            sums.posteriors[t * states + k] += std::exp(weight - sums.log_likelihood);
                        }
                    }
                }
            }
        }
        if (sums.log_likelihood == kNever) {
            break;
        }
    }
    return sums;
}

void check_rows(const std::vector<double> &shares, std::size_t states) {
    for (std::size_t i = 0; i < shares.size(); i += states) {
        double sum = 0.0;
        for (std::size_t k = 0; k < states; ++k) {
            expect(shares[i + k] >= 0.0 && shares[i + k] <= 1.0 + 1e-9, "that a probability is within 0 and 1");
            sum += shares[i + k];
        }
        expect(std::abs(sum - 1.0) <= 1e-9, "that the probabilities of a frame sum to 1");
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    Input input(data, size);
    const HsmmProblem problem = draw_problem(input, 40, false);
    const Survivors survivors(problem);
    const std::size_t cells = problem.frames * problem.states;
    std::vector<double> posteriors(cells);
    double log_likelihood = 0.0;
    const Outcome smoothed = on_every_path([&] {
        std::fill(posteriors.begin(), posteriors.end(), -1.0);
        log_likelihood =
            hsmm_forward_backward(problem.seen(), problem.model(), {posteriors.data(), problem.frames, problem.states});
        Words words;
        append(words, log_likelihood);
        append(words, posteriors);
        return words;
    });
    std::vector<double> filtered(cells);
    double evidence = 0.0;
    const Outcome past = on_every_path([&] {
        std::fill(filtered.begin(), filtered.end(), -1.0);
        evidence = hsmm_filter(problem.seen(), problem.model(), {filtered.data(), problem.frames, problem.states});
        Words words;
        append(words, evidence);
        append(words, filtered);
        return words;
    });
    if (problem.frames == 0) {
        expect(log_likelihood == 0.0 && evidence == 0.0, "that an empty recording is certain");
        return 0;
    }
    const double tolerance = 1e-11 * magnitude(problem);
    const Sums expected = plain_forward_backward(problem, survivors);
    expect(smoothed.refused.empty() == (expected.log_likelihood != kNever),
           "that what is impossible is refused, and nothing else (" + smoothed.refused + ")");
    if (smoothed.refused.empty()) {
        expect(std::abs(log_likelihood - expected.log_likelihood) <= tolerance, "the log-likelihood");
        check_rows(posteriors, problem.states);
        for (std::size_t i = 0; i < cells; ++i) {
            expect(std::abs(posteriors[i] - expected.posteriors[i]) <= 1e-7 + 10.0 * tolerance, "a posterior");
        }
    }
    // The filter of a prefix is the smoother of that prefix, right-censored, at its last frame.
    HsmmProblem prefix = problem;
    prefix.censoring = problem.censoring == Censoring::left || problem.censoring == Censoring::both ? Censoring::both
                                                                                                    : Censoring::right;
    const Sums whole = plain_forward_backward(prefix, survivors);
    if (past.refused.empty()) {
        expect(std::abs(evidence - whole.log_likelihood) <= tolerance, "the log-likelihood of the filter");
        check_rows(filtered, problem.states);
        prefix.frames = input.between(1, problem.frames);
        const Sums part = plain_forward_backward(prefix, survivors);
        for (std::size_t k = 0; k < problem.states; ++k) {
            const std::size_t i = (prefix.frames - 1) * problem.states + k;
            expect(std::abs(filtered[i] - part.posteriors[i]) <= 1e-7 + 10.0 * tolerance, "a filtered probability");
        }
    } else {
        expect(whole.log_likelihood == kNever,
               "that the filter refuses only what is impossible (" + past.refused + ")");
    }
    return 0;
}
