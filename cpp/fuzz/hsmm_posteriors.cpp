// Likelihood, posteriors, filter and expected counts against sums in log space by the definition, on all SIMD paths.
#include "hsmm_problem.hpp"

#include "conv2d/hsmm_posteriors.hpp"

using namespace conv2d;
using namespace conv2d::fuzz;

namespace {

struct Sums {
    explicit Sums(const HsmmProblem &problem)
        : posteriors(problem.frames * problem.states, 0.0), begins(posteriors), ends(posteriors),
          transitions(problem.states * problem.states, 0.0), complete(problem.states * problem.durations, 0.0),
          cut_left(complete), cut_right(complete), cut_both(complete) {}

    double log_likelihood = kNever;
    std::vector<double> posteriors, begins, ends, transitions, complete, cut_left, cut_right, cut_both;
};

// Weights of everything that enters a segment at a place, and of everything that follows one which ends there.
struct Sides {
    std::vector<double> enters, ended, begun, leaves;
};

double segment_score(const HsmmProblem &problem, const Survivors &survivors, std::size_t k, std::size_t start,
                     std::size_t end) {
    double score = length_weight(problem, survivors, k, start, end);
    for (std::size_t t = start; t < end; ++t) {
        score += problem.emissions[t * problem.states + k];
    }
    return score;
}

Sides plain_sides(const HsmmProblem &problem, const Survivors &survivors) {
    const std::size_t frames = problem.frames;
    const std::size_t states = problem.states;
    Sides sides;
    for (auto *weights : {&sides.enters, &sides.ended, &sides.begun, &sides.leaves}) {
        weights->assign((frames + 1) * states, kNever);
    }
    std::copy(problem.initial.begin(), problem.initial.end(), sides.enters.begin());
    std::fill_n(sides.leaves.begin() + static_cast<std::ptrdiff_t>(frames * states), states, 0.0);
    const auto collect = [](double &sum, double weight) { sum = Survivors::add(sum, weight); };
    for (std::size_t end = 1; end < frames; ++end) {
        for (std::size_t from = 0; from < states; ++from) {
            double &ended = sides.ended[end * states + from];
            for (std::size_t start = end - std::min(end, problem.durations); start < end; ++start) {
                collect(ended,
                        sides.enters[start * states + from] + segment_score(problem, survivors, from, start, end));
            }
            for (std::size_t to = 0; to < states; ++to) {
                collect(sides.enters[end * states + to], ended + problem.change(end, from, to));
            }
        }
    }
    for (std::size_t start = frames; start-- > 1;) {
        for (std::size_t to = 0; to < states; ++to) {
            double &begun = sides.begun[start * states + to];
            for (std::size_t end = start + 1; end <= std::min(frames, start + problem.durations); ++end) {
                collect(begun, sides.leaves[end * states + to] + segment_score(problem, survivors, to, start, end));
            }
            for (std::size_t from = 0; from < states; ++from) {
                collect(sides.leaves[start * states + from], begun + problem.change(start, from, to));
            }
        }
    }
    return sides;
}

Sums plain_sums(const HsmmProblem &problem, const Survivors &survivors) {
    const std::size_t frames = problem.frames;
    const std::size_t states = problem.states;
    const Sides sides = plain_sides(problem, survivors);
    Sums sums(problem);
    const auto each_segment = [&](auto &&visit) {
        for (std::size_t k = 0; k < states; ++k) {
            for (std::size_t start = 0; start < frames; ++start) {
                for (std::size_t end = start + 1; end <= std::min(frames, start + problem.durations); ++end) {
                    visit(k, start, end,
                          sides.enters[start * states + k] + segment_score(problem, survivors, k, start, end) +
                              sides.leaves[end * states + k]);
                }
            }
        }
    };
    each_segment([&](std::size_t, std::size_t, std::size_t end, double weight) {
        if (end == frames) {
            sums.log_likelihood = Survivors::add(sums.log_likelihood, weight);
        }
    });
    if (sums.log_likelihood == kNever) {
        return sums;
    }
    const bool left = problem.censoring == Censoring::left || problem.censoring == Censoring::both;
    const bool right = problem.censoring == Censoring::right || problem.censoring == Censoring::both;
    each_segment([&](std::size_t k, std::size_t start, std::size_t end, double weight) {
        const double share = weight == kNever ? 0.0 : std::exp(weight - sums.log_likelihood);
        for (std::size_t t = start; t < end; ++t) {
            sums.posteriors[t * states + k] += share;
        }
        sums.begins[start * states + k] += share;
        sums.ends[(end - 1) * states + k] += share;
        const bool cut_left = left && start == 0;
        const bool cut_right = right && end == frames;
        auto &counts = cut_left    ? (cut_right ? sums.cut_both : sums.cut_left)
                       : cut_right ? sums.cut_right
                                   : sums.complete;
        counts[k * problem.durations + end - start - 1] += share;
    });
    for (std::size_t place = 1; place < frames; ++place) {
        for (std::size_t from = 0; from < states; ++from) {
            for (std::size_t to = 0; to < states; ++to) {
                const double weight = sides.ended[place * states + from] + problem.change(place, from, to) +
                                      sides.begun[place * states + to];
                sums.transitions[from * states + to] += weight == kNever ? 0.0 : std::exp(weight - sums.log_likelihood);
            }
        }
    }
    return sums;
}

void expect_close(const std::vector<double> &got, const std::vector<double> &expected, double tolerance,
                  const std::string &what) {
    expect(got.size() == expected.size(), "the size of " + what);
    for (std::size_t i = 0; i < got.size(); ++i) {
        expect(std::abs(got[i] - expected[i]) <= tolerance * (1.0 + std::abs(expected[i])), what);
    }
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

void check_counts(const HsmmProblem &problem, const Sums &expected, double log_likelihood,
                  const std::vector<double> &posteriors, Input &input, double tolerance) {
    const std::size_t states = problem.states;
    const Matrix<const double> seen = problem.seen();
    std::vector<double> again(posteriors.size());
    ExpectedCounts counts;
    static_cast<void>(on_every_path([&] {
        counts = hsmm_expected_counts(seen, problem.model(), {again.data(), problem.frames, states});
        Words words;
        append(words, counts.log_likelihood);
        for (const auto *values : {&again, &counts.initial, &counts.transitions, &counts.durations, &counts.cut_left,
                                   &counts.cut_right, &counts.cut_both}) {
            append(words, *values);
        }
        return words;
    }));
    expect(counts.log_likelihood == log_likelihood && again == posteriors, "that counting moves no posterior");
    expect_close(counts.initial,
                 {expected.begins.begin(), expected.begins.begin() + static_cast<std::ptrdiff_t>(states)}, tolerance,
                 "the expected first states");
    expect_close(counts.transitions, expected.transitions, tolerance, "the expected changes");
    expect_close(counts.durations, expected.complete, tolerance, "the expected complete segments");
    expect_close(counts.cut_left, expected.cut_left, tolerance, "the segments cut off by the first frame");
    expect_close(counts.cut_right, expected.cut_right, tolerance, "the segments cut off by the last frame");
    expect_close(counts.cut_both, expected.cut_both, tolerance, "the segments cut off by both ends");

    std::vector<double> begins(posteriors.size());
    std::vector<double> ends(posteriors.size());
    static_cast<void>(on_every_path([&] {
        Words words;
        append(words, hsmm_boundary_posteriors(seen, problem.model(), {begins.data(), problem.frames, states},
                                               {ends.data(), problem.frames, states}));
        append(words, begins);
        append(words, ends);
        return words;
    }));
    expect_close(begins, expected.begins, tolerance, "the begins of segments");
    expect_close(ends, expected.ends, tolerance, "the ends of segments");

    const std::size_t start = input.below(problem.frames);
    const std::size_t end = input.between(start + 1, problem.frames);
    const std::size_t k = input.below(states);
    const Segment segment{static_cast<std::int64_t>(k), static_cast<std::int64_t>(start),
                          static_cast<std::int64_t>(end)};
    double share = -1.0;
    static_cast<void>(on_every_path([&] {
        Words words;
        append(words, hsmm_segment_posteriors(seen, problem.model(), {&segment, 1}, {&share, 1}));
        append(words, share);
        return words;
    }));
    const Survivors survivors(problem);
    const Sides sides = plain_sides(problem, survivors);
    const double weight = sides.enters[start * states + k] + segment_score(problem, survivors, k, start, end) +
                          sides.leaves[end * states + k];
    const double plain = weight == kNever ? 0.0 : std::exp(weight - expected.log_likelihood);
    expect_close({share}, {plain}, tolerance, "the posterior of a segment");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    Input input(data, size);
    const HsmmProblem problem = draw_problem(input, 40, true);
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
    const double share_tolerance = 1e-7 + 10.0 * tolerance;
    const Sums expected = plain_sums(problem, survivors);
    expect(smoothed.refused.empty() == (expected.log_likelihood != kNever),
           "that what is impossible is refused, and nothing else (" + smoothed.refused + ")");
    if (smoothed.refused.empty()) {
        expect(std::abs(log_likelihood - expected.log_likelihood) <= tolerance, "the log-likelihood");
        check_rows(posteriors, problem.states);
        expect_close(posteriors, expected.posteriors, share_tolerance, "the posteriors");
        check_counts(problem, expected, log_likelihood, posteriors, input, share_tolerance);
    }
    // The filter of a prefix is the smoother of that prefix, right-censored, at its last frame.
    HsmmProblem prefix = problem;
    prefix.censoring = problem.censoring == Censoring::left || problem.censoring == Censoring::both ? Censoring::both
                                                                                                    : Censoring::right;
    const Sums whole = plain_sums(prefix, survivors);
    expect(past.refused.empty() == (whole.log_likelihood != kNever),
           "that the filter refuses what is impossible, and nothing else (" + past.refused + ")");
    if (past.refused.empty()) {
        expect(std::abs(evidence - whole.log_likelihood) <= tolerance, "the log-likelihood of the filter");
        check_rows(filtered, problem.states);
        prefix.frames = input.between(1, problem.frames);
        const Sums part = plain_sums(prefix, survivors);
        const auto row = static_cast<std::ptrdiff_t>((prefix.frames - 1) * problem.states);
        const auto states = static_cast<std::ptrdiff_t>(problem.states);
        expect_close({filtered.begin() + row, filtered.begin() + row + states},
                     {part.posteriors.begin() + row, part.posteriors.begin() + row + states}, share_tolerance,
                     "the filtered probabilities");
    }
    return 0;
}
