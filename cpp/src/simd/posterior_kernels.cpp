#include "posterior_kernels.hpp"

#include "posterior_shares.hpp"
#include "posterior_tiles.hpp"

namespace conv2d::simd::CONV2D_PATH {
namespace {

constexpr double kNearTop = -40.5;     // tiles up to 2^-40 of the largest possible term are summed first
constexpr double kLowestTile = -700.0; // of the unit: smaller ones count as lost
constexpr double kKeptBits = -300.5;   // of the largest in a block: smaller ones count as lost
constexpr double kRounding = 54.0;     // bits below which a term, and all like it together, leave a sum as it is
constexpr double kTierBits = -600.5;   // weights of states that far apart take turns in changing state
constexpr double kLowestScore = -0x1p30;

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
            F64 score =
                sub(scores_at(log_emissions + r * states, k, states, readable - r * states, centers[r]), center);
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
            add_states_tile(sums, pass.sources + at * kRows * width + k, factor,
                            inner.linear + (c - 1) * kChunkRows * width + k, width, pass.states - k);
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
            // All terms that are left out together are below 2^-54 of the least sum.
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

// The factors of a row that do not wait for the row before: into the change of states, and out of it. False when a
// state is too far from the others for them.
inline bool row_factors(const Pass &pass, std::size_t row, double exponent, const DurationChunks &inner, double *into,
                        double *out, double &top) {
    const F64 sign = broadcast(pass.sign);
    F64 largest = never();
    for (std::size_t k = 0; k < pass.states; k += kLanes) {
        largest = max(largest, fma(sign, load(pass.exponent_rows + row * pass.width + k), load(pass.unit + k)));
    }
    top = largest_lane(largest);
    bool near = top > kDead;
    for (std::size_t k = 0; k < pass.states && near; k += kLanes) {
        const F64 unit = load(pass.unit + k);
        const F64 moved = fma(sign, load(pass.exponent_rows + row * pass.width + k), broadcast(-top));
        const F64 in = add(unit, moved);
        const F64 reach = load(inner.near_top + k);
        const F64 behind = sub(sub(reach, moved), sub(unit, broadcast(exponent + kUnitBits)));
        const M64 there = lanes_of(k, pass.states);
        const M64 opens = greater(reach, broadcast(kDead));
        const F64 low = select(there, min(in, select(opens, behind, zero())), zero());
        const F64 high = select(there, select(opens, behind, zero()), zero());
        near = !any(greater(broadcast(-600.0), low)) && !any(greater(high, broadcast(600.0)));
        store(into + k, mul(load(pass.multiply + row * pass.width + k), power_of_two(add(in, broadcast(-kUnitBits)))));
        store(out + k, select(opens, mul(load(pass.divide + row * pass.width + k), power_of_two(behind)), zero()));
    }
    return near;
}

std::size_t steps(Pass &pass, std::size_t block, std::size_t first, std::size_t end,
                  const LinearTransitions &transitions, const DurationChunks &inner) {
    const std::size_t width = pass.width;
    if (pass.impossible || inner.near_is_lossy) {
        return first;
    }
    double *const from = pass.scratch;
    double *const into = from + width;
    double *const out = into + width;
    for (std::size_t row = first; row < end; ++row) {
        double top = 0.0;
        if (!row_factors(pass, row, transitions.exponent, inner, into, out, top)) {
            return row;
        }
        bool held = true;
        for (std::size_t k = 0; k < pass.states; k += kLanes) {
            const F64 sum = load(pass.sum + row * width + k);
            const F64 ended = mul(sum, load(into + k));
            store(from + k, ended);
            const F64 seen = select(greater(ended, zero()), ended, broadcast(1.0));
            const F64 trusted = select(greater(broadcast(kTrusted), sum), zero(), broadcast(2.0));
            held = held && !any(greater(broadcast(0x1p-590), seen)) && !any(greater(seen, broadcast(0x1p300))) &&
                   !any(greater(load(pass.sum_lossy + k), trusted));
        }
        if (!held) {
            return row;
        }
        if (pass.ended != nullptr) {
            double *const kept = pass.ended + ((block & pass.ring) * kRows + row) * 2 * width;
            for (std::size_t k = 0; k < pass.states; k += kLanes) {
                const Scaled ended = split(load(from + k));
                store(kept + k, ended.mantissa);
                store(kept + width + k, max(add(ended.exponent, broadcast(top)), never()));
            }
        }
        for (std::size_t k = 0; k < pass.states; k += kLanes) {
            const F64 entered = changed(from, transitions.rows + k, pass.states, width);
            const F64 source = mul(entered, load(out + k));
            for (std::size_t r = row + 1; r < kRows; ++r) {
                double *const sum = pass.sum + r * width + k;
                store(sum, fma(source, load(inner.near_linear + (r - row) * width + k), load(sum)));
            }
            const Scaled begun = split(mul(entered, load(pass.divide + row * width + k)));
            const F64 moved = fma(broadcast(-pass.sign), load(pass.exponent_rows + row * width + k),
                                  broadcast(top + transitions.exponent));
            const std::size_t at = ((block & pass.ring) * kRows + row) * width + k;
            store(pass.mantissa + at, begun.mantissa);
            store(pass.exponent + at, max(add(begun.exponent, moved), never()));
            // What is small here may have lost its smallest durations.
            const F64 small = select(greater(source, zero()), source, broadcast(1.0));
            const M64 lost = greater(broadcast(0x1p-500), small);
            if (any(lost)) {
                store(pass.sum_lossy + k, select(lost, broadcast(1.0), load(pass.sum_lossy + k)));
            }
        }
    }
    return end;
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

void finish(const double *shares, std::size_t frames, std::size_t states, std::size_t width, double *posteriors) {
    for (std::size_t t = 0; t < frames; ++t) {
        const double *row = shares + t * width;
        store_row(posteriors + t * states, row, states, broadcast(1.0 / row_sum(row, states))); // one but for rounding
    }
}

} // namespace

extern const PosteriorKernels posterior_kernels;
const PosteriorKernels posterior_kernels{emissions, bulk, end_row, change_row, steps,         open_row,
                                         leave_row, seal, spread,  count,      count_changes, finish};

} // namespace conv2d::simd::CONV2D_PATH
