#include "posterior_kernels.hpp"

#include "f64_math.hpp"

namespace conv2d::simd::CONV2D_PATH {
namespace {

constexpr std::size_t kRows = kBlockRows;
constexpr std::size_t kLanes = F64::lanes;
constexpr double kDead = -1e250;       // exponents below it belong to zeros
constexpr double kNearTop = -40.5;     // tiles up to 2^-40 of the largest possible term are summed first
constexpr double kLowestTile = -700.0; // of the unit: smaller ones count as lost
constexpr double kKeptBits = -300.5;   // of the largest in a block: smaller ones count as lost
constexpr double kTrusted = 0x1p84;    // of 2^300: what is lost stays 64 bits and more below such a sum
constexpr double kRounding = 64.0;     // bits below which a term, and all like it together, leave a sum as it is
constexpr double kTierBits = -600.5;   // weights of states that far apart take turns in changing state
constexpr double kLowestScore = -0x1p30;

inline F64 zero() { return broadcast(0.0); }
inline F64 never() { return broadcast(kNoExponent); }

// Bits to count to n and more.
inline double bits_of(std::size_t n) {
    double bits = 1.0;
    for (; n > 1; n >>= 1) {
        bits += 1.0;
    }
    return bits;
}

// sums[r] += sum over q of sources[q] * factor * durations[r - q + 7], q ascending.
inline void add_tile(F64 *sums, const double *sources, F64 factor, const double *durations, std::size_t width) {
    F64 window[kRows];
    for (std::size_t r = 0; r < kRows; ++r) {
        window[r] = load(durations + (r + 7) * width);
    }
#pragma GCC unroll 8
    for (std::size_t q = 0; q < kRows; ++q) {
        const F64 source = mul(load(sources + q * width), factor);
#pragma GCC unroll 8
        for (std::size_t r = 0; r < kRows; ++r) {
            sums[r] = fma(source, window[r], sums[r]);
        }
        if (q + 1 < kRows) {
#pragma GCC unroll 8
            for (std::size_t r = kRows - 1; r > 0; --r) {
                window[r] = window[r - 1];
            }
            window[0] = load(durations + (6 - q) * width);
        }
    }
}

constexpr double kLaneNumbers[] = {0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0};

// Scores of the states from k on, `otherwise` for those that do not exist. `readable` is what lies behind `scores`.
inline F64 scores_at(const double *scores, std::size_t k, std::size_t states, std::size_t readable, double otherwise) {
    if (k + kLanes <= states) {
        return load(scores + k);
    }
    const M64 there = greater(broadcast(static_cast<double>(states - k)), load(kLaneNumbers));
    if (k + kLanes <= readable) {
        return select(there, load(scores + k), broadcast(otherwise));
    }
    double rest[kLanes];
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
        rest[lane] = k + lane < states ? scores[k + lane] : otherwise;
    }
    return load(rest);
}

bool emissions(const double *log_emissions, std::size_t frames, std::size_t states, std::size_t width,
               std::size_t readable, double *product, double *offsets, EmissionRows &rows) {
    double centers[kRows];
    F64 least = zero();
    for (std::size_t r = 0; r < kRows; ++r) {
        centers[r] = 0.0;
        if (r >= frames) {
            continue;
        }
        const double *frame = log_emissions + r * states;
        F64 largest = broadcast(kNoExponent);
        for (std::size_t k = 0; k < states; k += kLanes) {
            const F64 scores = scores_at(frame, k, states, readable - r * states, frame[0]);
            largest = max(largest, scores);
            least = min(least, scores);
        }
        const double top = largest_lane(largest);
        centers[r] = top > kNoExponent ? top : 0.0;
        offsets[r] = centers[r];
    }
    rows.impossible = any(greater(broadcast(kNoExponent), least));
    bool within = true;
    for (std::size_t k = 0; k < states; k += kLanes) {
        F64 mantissa = load(product + k);
        F64 exponent = load(product + width + k);
        F64 lowest = zero();
        for (std::size_t r = 0; r < kRows; ++r) {
            const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(r) * rows.step + static_cast<std::ptrdiff_t>(k);
            store(rows.mantissa + at, mantissa);
            store(rows.inverse + at, div(broadcast(1.0), mantissa));
            store(rows.exponent + at, exponent);
            if (r >= frames) {
                store(rows.possible + at, broadcast(1.0));
                continue;
            }
            const F64 center = broadcast(centers[r]);
            F64 score = sub(scores_at(log_emissions + r * states, k, states, readable - r * states, centers[r]), center);
            const M64 possible = greater(score, broadcast(kNoExponent));
            score = select(possible, score, zero());
            lowest = min(lowest, score);
            const Scaled factor = exp_scaled(score);
            const Scaled next = split(mul(mantissa, factor.mantissa));
            mantissa = next.mantissa;
            exponent = add(add(exponent, factor.exponent), next.exponent);
            if (rows.impossible) {
                mantissa = select(possible, mantissa, broadcast(1.0));
                exponent = select(possible, exponent, zero());
                store(rows.possible + at, select(possible, broadcast(1.0), zero()));
            }
        }
        store(product + k, mantissa);
        store(product + width + k, exponent);
        within = within && !any(greater(broadcast(kLowestScore), lowest));
    }
    return within;
}

void bulk(Pass &pass, std::size_t block, const DurationChunks &inner, const DurationChunks &opening,
          const Opening &opened) {
    const std::size_t width = pass.width;
    const std::size_t count = inner.chunks < block ? inner.chunks : block;
    const bool opens = opened.mantissa != nullptr && block >= 1 && block <= opening.chunks;
    const double negligible = kRounding + 4.0 + bits_of(count + 1);
    for (std::size_t k = 0; k < pass.states; k += kLanes) {
        F64 top = never();
        const F64 barrier = load(pass.barrier + (block & pass.ring) * width + k);
        for (std::size_t c = 1; c <= count; ++c) {
            const std::size_t at = ((block - c) & pass.ring) * width + k;
            const M64 cut = greater(barrier, broadcast(static_cast<double>(block - c)));
            F64 bound = add(load(pass.source_top + at), load(inner.top + (c - 1) * width + k));
            bound = select(cut, never(), bound);
            bound = select(greater(bound, broadcast(kDead)), bound, broadcast(4.0 * kNoExponent));
            store(pass.scratch + c * kLanes, bound);
            top = max(top, bound);
        }
        F64 opening_bound = broadcast(4.0 * kNoExponent);
        if (opens) {
            const M64 cut = greater(barrier, zero());
            opening_bound = add(load(opened.exponent + k), load(opening.top + (block - 1) * width + k));
            opening_bound = select(cut, never(), opening_bound);
            opening_bound =
                select(greater(opening_bound, broadcast(kDead)), opening_bound, broadcast(4.0 * kNoExponent));
            top = max(top, opening_bound);
        }
        F64 sums[kRows];
        for (F64 &sum : sums) {
            sum = zero();
        }
        F64 lossy = zero();
        const auto add_chunk = [&](std::size_t c, M64 taken, F64 factor) {
            const std::size_t at = (block - c) & pass.ring;
            add_tile(sums, pass.sources + at * kRows * width + k, factor,
                     inner.linear + (c - 1) * kChunkRows * width + k, width);
            const F64 lost = max(load(pass.source_lossy + at * width + k), load(inner.lossy + (c - 1) * width + k));
            lossy = max(lossy, select(taken, lost, zero()));
        };
        if (any(greater(top, broadcast(kDead)))) {
            for (std::size_t c = 1; c <= count; ++c) {
                const F64 below = sub(load(pass.scratch + c * kLanes), top);
                const M64 taken = greater(below, broadcast(kNearTop));
                if (any(taken)) {
                    const F64 factor = power_of_two(add(below, broadcast(kUnitBits)));
                    add_chunk(c, taken, select(taken, factor, zero()));
                }
            }
            F64 least = sums[0];
            for (std::size_t r = 1; r < kRows; ++r) {
                least = min(least, sums[r]);
            }
            // A term 2^-64 of the least sum, and all of its kind together, cannot change a sum by its rounding.
            F64 needed = add(split(least).exponent, broadcast(-kUnitBits - negligible));
            needed = max(needed, broadcast(kDead)); // relative to `top`
            for (std::size_t c = 1; c <= count; ++c) {
                F64 below = sub(load(pass.scratch + c * kLanes), top);
                const M64 late = greater(below, broadcast(kNearTop));
                below = select(late, broadcast(4.0 * kNoExponent), below);
                const M64 taken = greater(below, needed);
                if (any(taken)) {
                    const F64 factor = power_of_two(add(max(below, broadcast(kLowestTile)), broadcast(kUnitBits)));
                    add_chunk(c, taken, select(taken, factor, zero()));
                    const M64 low = greater(broadcast(kLowestTile), below);
                    lossy = max(lossy, select(taken, select(low, broadcast(1.0), zero()), zero()));
                }
            }
        }
        for (std::size_t r = 0; r < kRows; ++r) {
            store(pass.inner + r * width + k, sums[r]);
        }
        if (opens) {
            const F64 below = sub(opening_bound, top);
            const M64 taken = greater(below, broadcast(kDead));
            const F64 factor = power_of_two(add(max(below, broadcast(kLowestTile)), broadcast(kUnitBits)));
            const F64 source = select(taken, mul(load(opened.mantissa + k), factor), zero());
            const double *durations = opening.linear + (block - 1) * kChunkRows * width + k;
            for (std::size_t r = 0; r < kRows; ++r) {
                sums[r] = fma(source, load(durations + (r + 7 - opened.row) * width), sums[r]);
            }
            const M64 low = greater(broadcast(kLowestTile), below);
            const F64 lost = max(select(low, broadcast(1.0), zero()), load(opening.lossy + (block - 1) * width + k));
            lossy = max(lossy, select(taken, lost, zero()));
        }
        for (std::size_t r = 0; r < kRows; ++r) {
            store(pass.sum + r * width + k, sums[r]);
        }
        store(pass.unit + k, top);
        store(pass.inner_unit + k, top);
        store(pass.sum_lossy + k, lossy);
    }
}

bool end_row(Pass &pass, std::size_t row, double *suspect) {
    bool any_suspect = false;
    for (std::size_t k = 0; k < pass.states; k += kLanes) {
        const F64 sum = load(pass.sum + row * pass.width + k);
        const Scaled scaled = split(sum);
        const F64 exponent = add(scaled.exponent, add(load(pass.unit + k), broadcast(-kUnitBits)));
        store(pass.ended_mantissa + k, scaled.mantissa);
        store(pass.ended_exponent + k, max(exponent, never()));
        const M64 small = greater(broadcast(kTrusted), sum);
        const M64 doubtful = greater(load(pass.sum_lossy + k), select(small, zero(), broadcast(2.0)));
        if (any(doubtful)) {
            any_suspect = true;
        }
        store(suspect + k, select(doubtful, broadcast(1.0), zero()));
    }
    return any_suspect;
}

// Begins the segments of one vector of states at a row.
inline void open_states(Pass &pass, std::size_t row, std::size_t k, F64 mantissa, F64 exponent,
                        const DurationChunks &durations) {
    const std::size_t width = pass.width;
    F64 unit = load(pass.unit + k);
    const F64 reach = add(exponent, load(durations.near_top + k));
    if (any(greater(reach, unit))) {
        const F64 raised = max(unit, reach);
        // Nothing is lost while the old sums stay within the normal numbers, or when there were none.
        const F64 change = sub(unit, raised);
        const F64 factor = power_of_two(change);
        F64 least = broadcast(0x1p1000);
        for (std::size_t r = row + 1; r < kRows; ++r) {
            const F64 old = load(pass.sum + r * width + k);
            least = min(least, select(greater(old, zero()), old, least));
            store(pass.sum + r * width + k, mul(old, factor));
        }
        const M64 far = greater(broadcast(-900.0), add(change, split(least).exponent));
        const F64 lost = select(far, select(greater(broadcast(0x1p999), least), broadcast(1.0), zero()), zero());
        store(pass.sum_lossy + k, max(load(pass.sum_lossy + k), lost));
        store(pass.unit + k, raised);
        unit = raised;
    }
    const F64 below = sub(reach, unit);
    const M64 low = greater(broadcast(kLowestTile), below);
    const M64 there = greater(reach, broadcast(kDead)); // not so a weight of zero, or no duration below 8
    if (durations.near_is_lossy || any(low)) {
        const F64 lost = max(load(durations.near_lossy + k), select(low, broadcast(1.0), zero()));
        store(pass.sum_lossy + k, max(load(pass.sum_lossy + k), select(there, lost, zero())));
    }
    const F64 factor = power_of_two(add(max(below, broadcast(kLowestTile)), broadcast(kUnitBits)));
    const F64 source = select(there, mul(mantissa, factor), zero());
    for (std::size_t r = row + 1; r < kRows; ++r) {
        const F64 old = load(pass.sum + r * width + k);
        store(pass.sum + r * width + k, fma(source, load(durations.near_linear + (r - row) * width + k), old));
    }
}

void open_row(Pass &pass, std::size_t row, const double *mantissa, const double *exponent,
              const DurationChunks &durations) {
    for (std::size_t k = 0; k < pass.states; k += kLanes) {
        open_states(pass, row, k, load(mantissa + k), load(exponent + k), durations);
    }
}

// out[j] = sum over i of from[i] * rows[i][j], in four chains by i modulo 4.
inline F64 changed(const double *from, const double *rows, std::size_t states, std::size_t width) {
    F64 chains[4] = {zero(), zero(), zero(), zero()};
    std::size_t i = 0;
    for (; i + 4 <= states; i += 4) {
        for (std::size_t n = 0; n < 4; ++n) {
            chains[n] = fma(broadcast(from[i + n]), load(rows + (i + n) * width), chains[n]);
        }
    }
    for (std::size_t n = 0; i + n < states; ++n) {
        chains[n] = fma(broadcast(from[i + n]), load(rows + (i + n) * width), chains[n]);
    }
    return add(add(chains[0], chains[1]), add(chains[2], chains[3]));
}

// Takes the states whose weight is within the tier below the largest into `from`; their exponents become kNoExponent.
// Returns the largest exponent, `rest` says whether any state is left.
inline double take_tier(Pass &pass, double *from, bool &rest) {
    F64 largest = never();
    for (std::size_t k = 0; k < pass.states; k += kLanes) {
        largest = max(largest, load(pass.ended_exponent + k));
    }
    const double top = largest_lane(largest);
    rest = false;
    for (std::size_t k = 0; k < pass.states; k += kLanes) {
        const F64 exponent = load(pass.ended_exponent + k);
        const F64 below = sub(exponent, broadcast(top));
        const M64 taken = greater(below, broadcast(kTierBits));
        store(from + k, select(taken, mul(load(pass.ended_mantissa + k), power_of_two(below)), zero()));
        const M64 left = greater(select(taken, never(), exponent), broadcast(kDead));
        if (any(left)) {
            rest = true;
        }
    }
    return top;
}

inline void drop_tier(Pass &pass, double top) {
    for (std::size_t k = 0; k < pass.states; k += kLanes) {
        const F64 exponent = load(pass.ended_exponent + k);
        const M64 taken = greater(sub(exponent, broadcast(top)), broadcast(kTierBits));
        store(pass.ended_exponent + k, select(taken, never(), exponent));
    }
}

void change_row(Pass &pass, std::size_t block, std::size_t row, const LinearTransitions &transitions,
                const DurationChunks &inner) {
    const std::size_t width = pass.width;
    const F64 sign = broadcast(pass.sign);
    double *const mantissas = pass.mantissa + ((block & pass.ring) * kRows + row) * width;
    double *const exponents = pass.exponent + ((block & pass.ring) * kRows + row) * width;
    double *const from = pass.scratch; // below the bounds of `bulk`, which are no longer needed
    for (std::size_t k = 0; k < pass.states; k += kLanes) {
        const F64 product = mul(load(pass.ended_mantissa + k), load(pass.multiply + row * width + k));
        const F64 exponent = fma(sign, load(pass.exponent_rows + row * width + k), load(pass.ended_exponent + k));
        store(pass.ended_mantissa + k, product);
        const F64 ended = select(greater(product, zero()), exponent, never());
        store(pass.ended_exponent + k, ended);
        if (pass.ended != nullptr) {
            double *const kept = pass.ended + ((block & pass.ring) * kRows + row) * 2 * width + k;
            store(kept, product);
            store(kept + width, ended);
        }
    }
    bool rest = false;
    double top = take_tier(pass, from, rest);
    for (std::size_t k = 0; k < pass.states; k += kLanes) {
        const F64 entered = changed(from, transitions.rows + k, pass.states, width);
        const Scaled scaled = split(mul(entered, load(pass.divide + row * width + k)));
        const F64 moved = fma(broadcast(-pass.sign), load(pass.exponent_rows + row * width + k),
                              broadcast(top + transitions.exponent));
        const F64 exponent = max(add(scaled.exponent, moved), never());
        store(mantissas + k, scaled.mantissa);
        store(exponents + k, exponent);
        if (!rest) {
            open_states(pass, row, k, scaled.mantissa, exponent, inner);
        }
    }
    if (!rest) {
        return;
    }
    while (rest) {
        drop_tier(pass, top);
        top = take_tier(pass, from, rest);
        for (std::size_t k = 0; k < pass.states; k += kLanes) {
            const F64 entered = changed(from, transitions.rows + k, pass.states, width);
            const Scaled scaled = split(mul(entered, load(pass.divide + row * width + k)));
            const F64 moved = fma(broadcast(-pass.sign), load(pass.exponent_rows + row * width + k),
                                  broadcast(top + transitions.exponent));
            // The sum of two pairs: the smaller moves to the exponent of the larger.
            const F64 exponent = max(add(scaled.exponent, moved), never());
            const F64 before = load(exponents + k);
            const F64 larger = max(exponent, before);
            const F64 a = select(greater(sub(before, larger), broadcast(-1000.0)),
                                 mul(load(mantissas + k), power_of_two(sub(before, larger))), zero());
            const F64 b = select(greater(sub(exponent, larger), broadcast(-1000.0)),
                                 mul(scaled.mantissa, power_of_two(sub(exponent, larger))), zero());
            const Scaled sum = split(add(a, b));
            store(mantissas + k, sum.mantissa);
            store(exponents + k, max(add(sum.exponent, larger), never()));
        }
    }
    open_row(pass, row, mantissas, exponents, inner);
}

void leave_row(Pass &pass, std::size_t row) {
    if (!pass.impossible) {
        return;
    }
    for (std::size_t k = 0; k < pass.states; k += kLanes) {
        const F64 possible = load(pass.possible + row * pass.width + k);
        for (std::size_t r = row + 1; r < kRows; ++r) {
            store(pass.sum + r * pass.width + k, mul(load(pass.sum + r * pass.width + k), possible));
            store(pass.inner + r * pass.width + k, mul(load(pass.inner + r * pass.width + k), possible));
        }
    }
}

void seal(Pass &pass, std::size_t block) {
    const std::size_t width = pass.width;
    const std::size_t at = block & pass.ring;
    const std::size_t next = (block + 1) & pass.ring;
    for (std::size_t k = 0; k < pass.states; k += kLanes) {
        const double *mantissas = pass.mantissa + at * kRows * width + k;
        const double *exponents = pass.exponent + at * kRows * width + k;
        F64 weights[kRows], tops[kRows];
        F64 through = broadcast(1.0);
        F64 top = never();
        for (std::size_t r = kRows; r-- > 0;) {
            through = pass.impossible ? mul(through, load(pass.possible + r * width + k)) : through;
            const M64 goes_on = greater(through, zero());
            weights[r] = select(goes_on, load(mantissas + r * width), zero());
            tops[r] = select(goes_on, load(exponents + r * width), never());
            top = max(top, tops[r]);
        }
        F64 lost = zero();
        for (std::size_t r = 0; r < kRows; ++r) {
            const F64 below = sub(tops[r], top);
            const M64 kept = greater(below, broadcast(kKeptBits));
            store(pass.sources + (at * kRows + r) * width + k,
                  select(kept, mul(weights[r], power_of_two(below)), zero()));
            lost = max(lost, select(kept, zero(), weights[r]));
        }
        store(pass.source_top + at * width + k, top);
        store(pass.source_lossy + at * width + k, select(greater(lost, zero()), broadcast(1.0), zero()));
        const F64 barrier = load(pass.barrier + at * width + k);
        store(pass.barrier + next * width + k,
              select(greater(through, zero()), barrier, broadcast(static_cast<double>(block))));
    }
}

constexpr double kUnseen = -75.0; // a posterior below 2^-75, and D like it together, is left out
constexpr double kHeld = 225.0;   // so far below the largest term, 2^-300, what is lost stays unseen

// Posteriors of the segments within one block, by place where they begin (q) and end (r), q < r; and of those that
// begin at q and end in other blocks.
struct Within {
    F64 inside[kRows][kRows];
    F64 beyond[kRows];
    bool empty; // nothing of `inside` can be seen
    bool held;  // whether nothing was lost that could be seen
};

inline F64 posterior_of(F64 mantissa, F64 exponent) {
    const M64 seen = greater(exponent, broadcast(-1000.0));
    return select(seen, mul(mantissa, power_of_two(exponent)), zero());
}

// Whether the weights of the block as they are kept for other blocks do for the segments within it, too: what they
// lack cannot be seen. One answer for all states, as vectors of different paths hold different ones.
inline bool linear_within(const Pass &forward, const Pass &backward, std::size_t block, std::size_t mirrored,
                          const DurationChunks &inner) {
    const std::size_t width = forward.width;
    bool does = !backward.impossible && !inner.near_is_lossy;
    for (std::size_t k = 0; k < forward.states && does; k += kLanes) {
        const F64 top = load(forward.source_top + (block & forward.ring) * width + k);
        const F64 reach = add(add(top, load(inner.near_top + k)), load(backward.source_top + mirrored * width + k));
        const F64 beyond = add(add(top, load(backward.inner_unit + k)), broadcast(10.0));
        const F64 lossy = select(greater(load(backward.sum_lossy + k), zero()), broadcast(2.0 * kHeld), zero());
        does = !any(greater(max(max(reach, beyond), lossy), broadcast(kHeld)));
    }
    return does;
}

inline void within_block_linear(Within &within, const Pass &forward, const Pass &backward, std::size_t block,
                                std::size_t mirrored, const DurationChunks &inner, std::size_t k) {
    const std::size_t width = forward.width;
    const F64 top = load(forward.source_top + (block & forward.ring) * width + k);
    const F64 reach = add(add(top, load(inner.near_top + k)), load(backward.source_top + mirrored * width + k));
    const F64 beyond = add(top, load(backward.inner_unit + k));
    const double *sources = forward.sources + (block & forward.ring) * kRows * width + k;
    const F64 factor = power_of_two(add(beyond, broadcast(-kUnitBits)));
    const M64 reaches = greater(beyond, broadcast(kDead));
    for (std::size_t q = 0; q < kRows; ++q) {
        const F64 source = select(reaches, mul(load(sources + q * width), factor), zero());
        within.beyond[q] = mul(source, load(backward.inner + (kRows - 1 - q) * width + k));
    }
    const M64 seen = greater(reach, broadcast(kUnseen - 3.0));
    within.empty = !any(seen);
    within.held = true;
    if (within.empty) {
        return;
    }
    const double *after = backward.sources + mirrored * kRows * width + k;
    const F64 scale = select(seen, power_of_two(reach), zero());
    for (std::size_t q = 0; q + 1 < kRows; ++q) {
        const F64 source = mul(load(sources + q * width), scale);
        for (std::size_t r = q + 1; r < kRows; ++r) {
            within.inside[q][r] = mul(mul(source, load(inner.near_linear + (r - q) * width + k)),
                                      load(after + (kRows - 1 - r) * width));
        }
    }
}

inline void within_block(Within &within, const Pass &forward, const Pass &backward, std::size_t block,
                         std::size_t mirrored, const DurationChunks &inner, std::size_t k, bool linear) {
    if (linear) {
        within_block_linear(within, forward, backward, block, mirrored, inner, k);
        return;
    }
    const std::size_t width = forward.width;
    const double *mantissa = forward.mantissa + (block & forward.ring) * kRows * width + k;
    const double *exponent = forward.exponent + (block & forward.ring) * kRows * width + k;
    const double *after = backward.mantissa + mirrored * kRows * width + k;
    const double *after_exponent = backward.exponent + mirrored * kRows * width + k;
    const F64 unit = add(load(backward.inner_unit + k), broadcast(-kUnitBits));
    const M64 lossy = greater(load(backward.sum_lossy + k), zero());
    within.held = true;
    within.empty = false;
    for (std::size_t q = 0; q < kRows; ++q) {
        const F64 weight = load(mantissa + q * width);
        const F64 reach = load(exponent + q * width);
        const F64 rest = load(backward.inner + (kRows - 1 - q) * width + k);
        const Scaled sum = split(rest);
        within.beyond[q] = posterior_of(mul(weight, sum.mantissa), add(add(reach, unit), sum.exponent));
        const M64 small = greater(broadcast(kTrusted), rest);
        const F64 bound = select(lossy, select(small, add(reach, unit), never()), never());
        within.held = within.held && !any(greater(bound, broadcast(kHeld - kUnitBits)));
        F64 possible = broadcast(1.0);
        for (std::size_t r = q + 1; r < kRows; ++r) {
            // Row 6 - i of the mirrored block lies before frame i.
            possible = backward.impossible ? mul(possible, load(backward.possible + (kRows - 1 - r) * width + k))
                                           : possible;
            const std::size_t m = kRows - 1 - r;
            const F64 whole = mul(mul(weight, load(inner.near_mantissa + (r - q) * width + k)),
                                  mul(load(after + m * width), possible));
            const F64 scale = add(add(reach, load(inner.near_exponent + (r - q) * width + k)),
                                  load(after_exponent + m * width));
            within.inside[q][r] = posterior_of(whole, scale);
        }
    }
}

bool spread(const Pass &forward, const Pass &backward, std::size_t block, std::size_t blocks,
            const DurationChunks &inner, double *shares, std::size_t share_ring) {
    const std::size_t width = forward.width;
    const std::size_t behind = blocks - 1 - block;
    const std::size_t count = inner.chunks < behind ? inner.chunks : behind;
    const double unseen = kUnseen - bits_of(inner.chunks);
    const std::size_t at = block & forward.ring;
    const auto row_of = [&](std::size_t t) { return shares + (t & (share_ring * kRows + kRows - 1)) * width; };
    const bool linear = linear_within(forward, backward, block, behind & backward.ring, inner);
    bool held = true;
    for (std::size_t k = 0; k < forward.states; k += kLanes) {
        const F64 source_top = load(forward.source_top + at * width + k);
        F64 run = zero();
        bool running = false;
        for (std::size_t c = count; c >= 1; --c) {
            const std::size_t other = block + c;
            const std::size_t mirrored = (blocks - 1 - other) & backward.ring;
            const F64 bound = add(add(source_top, load(inner.top + (c - 1) * width + k)),
                                  load(backward.source_top + mirrored * width + k));
            const F64 barrier = load(forward.barrier + (other & forward.ring) * width + k);
            const M64 cut = greater(barrier, broadcast(static_cast<double>(block)));
            const F64 reach = select(cut, never(), bound);
            const M64 seen = greater(reach, broadcast(unseen));
            const bool taken = any(seen);
            if (!taken && !running) {
                continue;
            }
            F64 sums[kRows];
            for (F64 &sum : sums) {
                sum = zero();
            }
            if (taken) {
                // All terms that were kept are above 2^-900 of the bound, and posteriors below 1.
                add_tile(sums, forward.sources + at * kRows * width + k,
                         select(seen, power_of_two(min(reach, broadcast(900.0))), zero()),
                         inner.linear + (c - 1) * kChunkRows * width + k, width);
                running = true;
                const F64 lost = max(load(forward.source_lossy + at * width + k),
                                     max(load(backward.source_lossy + mirrored * width + k),
                                         load(inner.lossy + (c - 1) * width + k)));
                held = held && !any(greater(select(greater(lost, zero()), reach, never()), broadcast(kHeld)));
            }
            const double *after = backward.sources + mirrored * kRows * width + k;
            for (std::size_t r = kRows; r-- > 0;) {
                run = taken ? fma(sums[r], load(after + (kRows - 1 - r) * width), run) : run;
                double *const row = row_of(other * kRows + r - 1) + k;
                store(row, add(load(row), run));
            }
        }
        Within within;
        within_block(within, forward, backward, block, behind & backward.ring, inner, k, linear);
        F64 grown[kRows];
        for (F64 &row : grown) {
            row = zero();
        }
        for (std::size_t q = 0; q + 1 < kRows; ++q) {
            F64 mass = within.beyond[q];
            for (std::size_t r = kRows - 1; r > q; --r) {
                mass = within.empty ? mass : add(mass, within.inside[q][r]);
                grown[r - 1] = add(grown[r - 1], mass);
            }
        }
        for (std::size_t r = 0; r + 1 < kRows; ++r) {
            double *const row = row_of(block * kRows + r) + k;
            store(row, add(load(row), grown[r]));
        }
        held = held && within.held;
    }
    return held;
}

void count(const Pass &forward, const Pass &backward, std::size_t block, std::size_t blocks,
           const DurationChunks &inner, double *counts, double *near_counts) {
    const std::size_t width = forward.width;
    const std::size_t behind = blocks - 1 - block;
    const std::size_t chunks = inner.chunks < behind ? inner.chunks : behind;
    const double unseen = kUnseen - bits_of(inner.chunks);
    const std::size_t at = block & forward.ring;
    const bool linear = linear_within(forward, backward, block, behind & backward.ring, inner);
    for (std::size_t k = 0; k < forward.states; k += kLanes) {
        const F64 source_top = load(forward.source_top + at * width + k);
        for (std::size_t c = 1; c <= chunks; ++c) {
            const std::size_t other = block + c;
            const std::size_t mirrored = (blocks - 1 - other) & backward.ring;
            const F64 bound = add(add(source_top, load(inner.top + (c - 1) * width + k)),
                                  load(backward.source_top + mirrored * width + k));
            const F64 barrier = load(forward.barrier + (other & forward.ring) * width + k);
            const M64 cut = greater(barrier, broadcast(static_cast<double>(block)));
            const F64 reach = select(cut, never(), bound);
            const M64 seen = greater(reach, broadcast(unseen));
            if (!any(seen)) {
                continue;
            }
            const F64 factor = select(seen, power_of_two(min(reach, broadcast(900.0))), zero());
            F64 sources[kRows];
            for (std::size_t q = 0; q < kRows; ++q) {
                sources[q] = mul(load(forward.sources + (at * kRows + q) * width + k), factor);
            }
            const double *after = backward.sources + mirrored * kRows * width + k;
            for (std::size_t x = 0; x + 1 < kChunkRows; ++x) { // r - q + 7
                F64 sum = zero();
                const std::size_t first = x < 7 ? 7 - x : 0;
                const std::size_t last = x > 7 ? 14 - x : 7;
                for (std::size_t q = first; q <= last; ++q) {
                    sum = fma(sources[q], load(after + (14 - x - q) * width), sum);
                }
                const std::size_t place = ((c - 1) * kChunkRows + x) * width + k;
                store(counts + place, fma(sum, load(inner.linear + place), load(counts + place)));
            }
        }
        Within within;
        within_block(within, forward, backward, block, behind & backward.ring, inner, k, linear);
        for (std::size_t q = 0; q < kRows; ++q) {
            for (std::size_t r = q + 1; r < kRows && !within.empty; ++r) {
                double *const place = near_counts + (r - q) * width + k;
                store(place, add(load(place), within.inside[q][r]));
            }
        }
    }
}

void count_changes(const double *ends, const double *follows, std::size_t states, std::size_t width,
                   const LinearTransitions &transitions, double *counts) {
    F64 top = never();
    for (std::size_t k = 0; k < states; k += kLanes) {
        top = max(top, load(follows + width + k));
    }
    const double next_top = largest_lane(top) + transitions.exponent;
    for (std::size_t from = 0; from < states; ++from) {
        const double reach = ends[width + from] + next_top;
        if (reach < kUnseen) {
            continue;
        }
        const F64 weight = broadcast(ends[from]);
        const F64 scale = broadcast(ends[width + from] + transitions.exponent);
        for (std::size_t k = 0; k < states; k += kLanes) {
            // No overflow: transitions are 0 or above 2^-400, and the product is at most 1.
            const F64 pair = mul(mul(weight, load(follows + k)), load(transitions.rows + from * width + k));
            double *const place = counts + from * width + k;
            store(place, add(load(place), posterior_of(pair, add(scale, load(follows + width + k)))));
        }
    }
}

// The sum of a row in one order on every path: by state modulo 8, then these 8 as a tree.
inline double row_sum(const double *row, std::size_t states) {
    F64 sums[kRows / kLanes];
    for (F64 &sum : sums) {
        sum = zero();
    }
    for (std::size_t k = 0; k < states; k += kLanes) {
        F64 &sum = sums[k / kLanes % (kRows / kLanes)];
        sum = add(sum, load(row + k));
    }
    double s[kRows];
    for (std::size_t i = 0; i < kRows / kLanes; ++i) {
        store(s + i * kLanes, sums[i]);
    }
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

void finish(const double *shares, std::size_t frames, std::size_t states, std::size_t width, double *posteriors) {
    for (std::size_t t = 0; t < frames; ++t) {
        const double *row = shares + t * width;
        const F64 scale = broadcast(1.0 / row_sum(row, states)); // one but for rounding
        double *out = posteriors + t * states;
        std::size_t k = 0;
        for (; k + kLanes <= states; k += kLanes) {
            store(out + k, mul(load(row + k), scale));
        }
        if (k < states) {
            double rest[kLanes];
            store(rest, mul(load(row + k), scale));
            for (; k < states; ++k) {
                out[k] = rest[k % kLanes];
            }
        }
    }
}

} // namespace

extern const PosteriorKernels posterior_kernels;
const PosteriorKernels posterior_kernels{emissions, bulk,      end_row, change_row, open_row,
                                         leave_row, seal,      spread,  count,      count_changes, finish};

} // namespace conv2d::simd::CONV2D_PATH
