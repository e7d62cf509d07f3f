// HSMM problems drawn from an input, and decoders as the book has them: slow, without blocks or prefix sums.
#pragma once

#include "input.hpp"

#include "conv2d/hsmm.hpp"

#include <cmath>
#include <optional>

namespace conv2d::fuzz {

struct HsmmProblem {
    std::size_t frames = 0, states = 0, durations = 0;
    std::vector<double> emissions, transitions, initial, lengths;
    Censoring censoring = Censoring::none;
    bool whole = false; // whole numbers: every sum is exact, so that ties are ties in whatever order sums are taken

    [[nodiscard]] Matrix<const double> seen() const { return {emissions.data(), frames, states}; }
    [[nodiscard]] HsmmModel model() const {
        const std::size_t rows = states == 0 ? 0 : transitions.size() / states;
        return {{transitions.data(), rows, states}, initial, {lengths.data(), states, durations}, censoring};
    }
    // Score of the change from one state to another into a frame.
    [[nodiscard]] double change(std::size_t frame, std::size_t from, std::size_t to) const {
        const std::size_t first = transitions.size() == states * states ? 0 : frame * states;
        return transitions[(first + from) * states + to];
    }
};

// How a problem's scores are drawn.
struct ScoreKind {
    bool whole;
    std::size_t never; // of 16, how many are -inf
    double spread;

    double draw(Input &input) const {
        if (never > 0 && input.below(16) < never) {
            return kNever;
        }
        return whole ? -static_cast<double>(input.below(4)) : -spread * input.real(0.0, 1.0);
    }
    [[nodiscard]] std::vector<double> draw(Input &input, std::size_t count) const {
        std::vector<double> values(count);
        std::generate(values.begin(), values.end(), [&] { return draw(input); });
        return values;
    }
};

inline HsmmProblem draw_problem(Input &input, std::size_t most_frames, bool changing_transitions) {
    constexpr double kSpreads[] = {0.01, 4.0, 60.0, 2000.0};
    HsmmProblem problem;
    problem.states = input.flag() ? input.between(1, 3) : input.between(1, 20);
    problem.frames = input.between(0, problem.states <= 3 ? most_frames : most_frames / 4);
    problem.durations = input.flag() ? input.between(1, 8) : input.between(1, 255);
    problem.censoring = static_cast<Censoring>(input.below(4));
    problem.whole = input.flag();
    const ScoreKind kind{problem.whole, input.flag() ? 0u : input.below(12), kSpreads[input.below(4)]};
    const std::size_t matrices = changing_transitions && input.flag() && problem.frames > 0 ? problem.frames : 1;
    problem.emissions = kind.draw(input, problem.frames * problem.states);
    problem.transitions = kind.draw(input, matrices * problem.states * problem.states);
    problem.initial = kind.draw(input, problem.states);
    switch (input.below(3)) { // any; concave, as a guard for log-concave durations needs; flat
    case 0:
        problem.lengths = kind.draw(input, problem.states * problem.durations);
        break;
    case 1: {
        const double peak = static_cast<double>(input.below(problem.durations));
        for (std::size_t i = 0; i < problem.states * problem.durations; ++i) {
            const double away = static_cast<double>(i % problem.durations) - peak;
            problem.lengths.push_back(problem.whole ? -std::abs(away) : -kind.spread * 1e-3 * away * away);
        }
        break;
    }
    default:
        problem.lengths.assign(problem.states * problem.durations, 0.0);
    }
    return problem;
}

// log P(duration >= d) and the log of its sum over all lengths from d, summed as written, from the longest down.
struct Survivors {
    explicit Survivors(const HsmmProblem &problem)
        : states(problem.states), durations(problem.durations), survivor(states * durations, kNever),
          beyond(states * durations, kNever) {
        for (std::size_t k = 0; k < states; ++k) {
            double sum = kNever;
            double sums = kNever;
            for (std::size_t d = durations; d >= 1; --d) {
                sum = add(sum, problem.lengths[k * durations + d - 1]);
                sums = add(sums, sum);
                survivor[k * durations + d - 1] = sum;
                beyond[k * durations + d - 1] = sums;
            }
        }
    }
    static double add(double a, double b) {
        const double high = std::max(a, b);
        return high == kNever ? kNever : high + std::log1p(std::exp(std::min(a, b) - high));
    }
    std::size_t states, durations;
    std::vector<double> survivor, beyond;
};

// Weight of a segment's length, with the ends of the recording as the problem's censoring has them.
inline double length_weight(const HsmmProblem &problem, const Survivors &sums, std::size_t state, std::size_t start,
                            std::size_t end) {
    const bool left = start == 0 && (problem.censoring == Censoring::left || problem.censoring == Censoring::both);
    const bool right =
        end == problem.frames && (problem.censoring == Censoring::right || problem.censoring == Censoring::both);
    const std::size_t d = end - start;
    if (d > problem.durations || (left && sums.beyond[state * problem.durations] == kNever)) {
        return kNever;
    }
    const std::size_t place = state * problem.durations + d - 1;
    const double mean = sums.beyond[state * problem.durations];
    if (left) {
        return (right ? sums.beyond[place] : sums.survivor[place]) - mean;
    }
    return right ? sums.survivor[place] : problem.lengths[place];
}

// Score of a timeline, added up as the definition says; nothing where it is no timeline of the problem.
inline std::optional<double> score_of(const HsmmProblem &problem, const Survivors &sums,
                                      const std::vector<Segment> &segments) {
    double score = 0.0;
    std::size_t at = 0;
    for (std::size_t n = 0; n < segments.size(); ++n) {
        const auto state = static_cast<std::size_t>(segments[n].state);
        const auto start = static_cast<std::size_t>(segments[n].start);
        const auto end = static_cast<std::size_t>(segments[n].end);
        if (state >= problem.states || start != at || end <= start || end > problem.frames) {
            return std::nullopt;
        }
        score += n == 0 ? problem.initial[state]
                        : problem.change(start, static_cast<std::size_t>(segments[n - 1].state), state);
        score += length_weight(problem, sums, state, start, end);
        for (std::size_t t = start; t < end; ++t) {
            score += problem.emissions[t * problem.states + state];
        }
        at = end;
    }
    return at == problem.frames ? std::optional(score) : std::nullopt;
}

// The best timeline: of equal scores the smallest last state, the shortest last segment, the smallest state before it
// and so on. O(T K (K + D)) by the definition, every sum taken frame by frame.
inline Timeline plain_viterbi(const HsmmProblem &problem, const Survivors &sums) {
    const std::size_t states = problem.states;
    struct Back {
        std::size_t duration = 0, before = 0;
    };
    std::vector<double> ended((problem.frames + 1) * states, kNever);
    std::vector<double> entered((problem.frames + 1) * states, kNever);
    std::vector<Back> back((problem.frames + 1) * states);
    std::vector<std::size_t> before((problem.frames + 1) * states, 0);
    std::copy(problem.initial.begin(), problem.initial.end(), entered.begin());
    for (std::size_t end = 1; end <= problem.frames; ++end) {
        for (std::size_t k = 0; k < states; ++k) {
            double seen = 0.0;
            for (std::size_t d = 1; d <= std::min(end, problem.durations); ++d) {
                seen += problem.emissions[(end - d) * states + k];
                const double score =
                    entered[(end - d) * states + k] + seen + length_weight(problem, sums, k, end - d, end);
                if (score > ended[end * states + k]) {
                    ended[end * states + k] = score;
                    back[end * states + k] = {d, before[(end - d) * states + k]};
                }
            }
        }
        for (std::size_t to = 0; to < states && end < problem.frames; ++to) {
            for (std::size_t from = 0; from < states; ++from) {
                const double score = ended[end * states + from] + problem.change(end, from, to);
                if (score > entered[end * states + to]) {
                    entered[end * states + to] = score;
                    before[end * states + to] = from;
                }
            }
        }
    }
    Timeline timeline{kNever, {}};
    const auto *const last = ended.data() + problem.frames * states;
    auto state = static_cast<std::size_t>(std::max_element(last, last + states) - last);
    timeline.score = problem.frames == 0 ? 0.0 : last[state];
    for (std::size_t end = problem.frames; end > 0 && timeline.score != kNever;) {
        const Back &step = back[end * states + state];
        timeline.segments.push_back({static_cast<std::int64_t>(state), static_cast<std::int64_t>(end - step.duration),
                                     static_cast<std::int64_t>(end)});
        end -= step.duration;
        state = step.before;
    }
    std::reverse(timeline.segments.begin(), timeline.segments.end());
    return timeline;
}

// Largest finite score that a frame or a segment of the problem adds: what rounding is measured against.
inline double magnitude(const HsmmProblem &problem) {
    double largest = 1.0;
    for (const auto *values : {&problem.emissions, &problem.transitions, &problem.initial, &problem.lengths}) {
        for (const double value : *values) {
            largest = value == kNever ? largest : std::max(largest, std::abs(value));
        }
    }
    return largest * static_cast<double>(problem.frames + 1);
}

} // namespace conv2d::fuzz
