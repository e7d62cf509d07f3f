#include "markov_kernels.hpp"

#include "posterior_steps.hpp"

namespace conv2d::simd::CONV2D_PATH {
namespace {

constexpr std::size_t kLanes = F64::lanes;
constexpr double kFaint = 0x1p-500;
constexpr double kLowest = 0x1p-300; // of the largest weight of a frame
constexpr double kHighest = 0x1p300;
constexpr double kFarthest = 0x1p30; // scores beyond it leave no digits to the others

// exp of the scores of a frame less their largest, with the lag taken out. What is too small stays above zero, so that
// it is seen.
inline F64 weights_at(const double *frame, const double *log_weights, std::size_t k, std::size_t states,
                      std::size_t readable, double offset, double lag, F64 &farthest) {
    F64 score = sub(scores_at(frame, k, states, readable, kNoExponent), broadcast(offset));
    score = max(add(score, load(log_weights + k)), broadcast(kNoExponent));
    const F64 finite = select(greater(score, broadcast(0.9 * kNoExponent)), score, zero());
    farthest = max(farthest, max(finite, sub(zero(), finite)));
    const Scaled weight = exp_scaled(score);
    return mul(weight.mantissa, power_of_two(sub(weight.exponent, broadcast(lag))));
}

// Notes what the changes into a frame, relative to the frame before, and its weights say of the arithmetic.
inline void watch(MarkovPass &pass, F64 entered, F64 weight, F64 unit, M64 there, F64 &least, F64 &largest) {
    least = min(least, select(there, mul(entered, unit), broadcast(1.0)));
    largest = max(largest, weight);
    const F64 small = select(greater(weight, zero()), weight, broadcast(1.0));
    if (any(greater(broadcast(kFaint), small))) {
        pass.faint = true;
    }
}

// Takes the largest weight of the frame as the next lag.
inline bool lag_behind(MarkovPass &pass, F64 largest) {
    pass.exponent += pass.lag;
    const double top = largest_lane(largest);
    if (!(top >= kLowest && top <= kHighest)) {
        return false;
    }
    double lane[kLanes];
    store(lane, split(broadcast(top)).exponent);
    pass.lag = lane[0];
    return true;
}

inline bool held(const MarkovPass &pass) { return !pass.faint || pass.least >= kLowest; }

bool forward(MarkovPass &pass, const double *log_emissions, std::size_t frames, std::size_t readable,
             const double *log_weights, const double *transitions, bool enters, double *weights, double *offsets) {
    const std::size_t states = pass.states;
    const std::size_t width = pass.width;
    F64 least = broadcast(pass.least);
    F64 farthest = zero();
    const double *from = pass.current;
    for (std::size_t t = 0; t < frames; ++t) {
        const double *frame = log_emissions + t * states;
        const std::size_t rest = readable - t * states;
        F64 top = broadcast(kNoExponent);
        for (std::size_t k = 0; k < states; k += kLanes) {
            top = max(top, scores_at(frame, k, states, rest, kNoExponent));
        }
        const double highest = largest_lane(top);
        const double offset = highest > kNoExponent ? highest : 0.0;
        offsets[t] = offset;
        const F64 unit = power_of_two(broadcast(-pass.lag));
        F64 largest = zero();
        for (std::size_t k = 0; k < states; k += kLanes) {
            const F64 weight = weights_at(frame, log_weights, k, states, rest, offset, pass.lag, farthest);
            const bool first = enters && t == 0;
            const F64 entered = first ? broadcast(1.0) : changed(from, transitions + k, states, width);
            const F64 next = mul(entered, weight);
            store(weights + t * width + k, next);
            watch(pass, entered, next, unit, lanes_of(k, states), least, largest);
        }
        from = weights + t * width;
        if (!lag_behind(pass, largest)) {
            return false;
        }
    }
    double lane[kLanes];
    store(lane, least);
    for (std::size_t i = 0; i < kLanes; ++i) {
        pass.least = lane[i] < pass.least ? lane[i] : pass.least;
    }
    for (std::size_t k = 0; k < states; k += kLanes) {
        store(pass.current + k, load(from + k));
    }
    return held(pass) && !any(greater(farthest, broadcast(kFarthest)));
}

bool backward(MarkovPass &pass, const double *log_emissions, std::size_t frames, std::size_t readable,
              const double *log_weights, const double *transitions, const double *weights, const double *offsets,
              double *posteriors) {
    const std::size_t states = pass.states;
    const std::size_t width = pass.width;
    F64 least = broadcast(pass.least);
    F64 farthest = zero();
    double *const after = pass.current;       // weight of all that follows the frame
    double *const row = pass.current + width; // of the frame
    double *const from = row + width;
    for (std::size_t t = frames; t-- > 0;) {
        const double *frame = log_emissions + t * states;
        const std::size_t rest = readable - t * states;
        F64 largest = zero();
        const F64 unit = power_of_two(broadcast(-pass.lag));
        for (std::size_t k = 0; k < states; k += kLanes) {
            const F64 follows = load(after + k);
            store(row + k, mul(load(weights + t * width + k), follows));
            const F64 next =
                mul(follows, weights_at(frame, log_weights, k, states, rest, offsets[t], pass.lag, farthest));
            store(from + k, next);
            watch(pass, follows, next, unit, lanes_of(k, states), least, largest);
        }
        const double sum = row_sum(row, states);
        if (!(sum >= kLowest * kLowest)) {
            return false;
        }
        store_row(posteriors + t * states, row, states, broadcast(1.0 / sum));
        for (std::size_t k = 0; k < states; k += kLanes) {
            store(after + k, changed(from, transitions + k, states, width));
        }
        if (t > 0 && !lag_behind(pass, largest)) {
            return false;
        }
    }
    double lane[kLanes];
    store(lane, least);
    for (std::size_t i = 0; i < kLanes; ++i) {
        pass.least = lane[i] < pass.least ? lane[i] : pass.least;
    }
    return held(pass) && !any(greater(farthest, broadcast(kFarthest)));
}

} // namespace

extern const MarkovKernels markov_kernels;
const MarkovKernels markov_kernels{forward, backward};

} // namespace conv2d::simd::CONV2D_PATH
