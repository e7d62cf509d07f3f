// Every segmentation of a small model, scored by the definition.
#pragma once

#include "conv2d/hsmm.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

namespace conv2d::tests {

struct Model {
    std::size_t states, durations;
    std::vector<double> transitions, initial, lengths;

    [[nodiscard]] HsmmModel view(Censoring censoring) const {
        return {{transitions.data(), states, states}, initial, {lengths.data(), states, durations}, censoring};
    }
};

inline double add(double a, double b) {
    const double high = std::max(a, b);
    return high == kNever ? kNever : high + std::log(std::exp(a - high) + std::exp(b - high));
}

// P(duration >= d), and the sum of that over all lengths from d, by the book.
inline double survivor(const Model &model, std::size_t state, std::size_t d) {
    double sum = kNever;
    for (std::size_t u = d; u <= model.durations; ++u) {
        sum = add(sum, model.lengths[state * model.durations + u - 1]);
    }
    return sum;
}

inline double beyond(const Model &model, std::size_t state, std::size_t d) {
    double sum = kNever;
    for (std::size_t u = d; u <= model.durations; ++u) {
        sum = add(sum, survivor(model, state, u));
    }
    return sum;
}

inline double segment_weight(const Model &model, const Segment &segment, std::size_t frames, Censoring censoring) {
    const auto state = static_cast<std::size_t>(segment.state);
    const auto d = static_cast<std::size_t>(segment.end - segment.start);
    const bool left = segment.start == 0 && (censoring == Censoring::left || censoring == Censoring::both);
    const bool right = segment.end == static_cast<std::int64_t>(frames) &&
                       (censoring == Censoring::right || censoring == Censoring::both);
    if (d > model.durations || (left && beyond(model, state, 1) == kNever)) {
        return kNever;
    }
    if (left && right) {
        return beyond(model, state, d) - beyond(model, state, 1);
    }
    if (left) {
        return survivor(model, state, d) - beyond(model, state, 1);
    }
    return right ? survivor(model, state, d) : model.lengths[state * model.durations + d - 1];
}

// Calls each(segments, score) for every segmentation, the finite ones and the others.
inline void enumerate(const Model &model, const std::vector<double> &emissions, std::size_t frames, Censoring censoring,
                      const std::function<void(const std::vector<Segment> &, double)> &each) {
    std::vector<Segment> path;
    const std::function<void(std::size_t, double)> grow = [&](std::size_t start, double score) {
        if (start == frames) {
            each(path, score);
            return;
        }
        for (std::size_t state = 0; state < model.states; ++state) {
            const double entry =
                path.empty() ? model.initial[state]
                             : model.transitions[static_cast<std::size_t>(path.back().state) * model.states + state];
            double seen = 0.0;
            for (std::size_t end = start + 1; end <= frames; ++end) {
                seen += emissions[(end - 1) * model.states + state];
                const Segment segment{static_cast<std::int64_t>(state), static_cast<std::int64_t>(start),
                                      static_cast<std::int64_t>(end)};
                path.push_back(segment);
                grow(end, score + entry + seen + segment_weight(model, segment, frames, censoring));
                path.pop_back();
            }
        }
    };
    grow(0, 0.0);
}

struct Random {
    std::mt19937 engine;
    bool whole;

    double score() {
        if (std::uniform_real_distribution<>()(engine) < 0.15) {
            return kNever;
        }
        return whole ? -static_cast<double>(engine() % 3) : -4.0 * std::uniform_real_distribution<>()(engine);
    }
    std::vector<double> scores(std::size_t count) {
        std::vector<double> values(count);
        std::generate(values.begin(), values.end(), [this] { return score(); });
        return values;
    }
};

inline constexpr Censoring kAll[] = {Censoring::none, Censoring::right, Censoring::left, Censoring::both};

} // namespace conv2d::tests
