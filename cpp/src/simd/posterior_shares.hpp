// The kernels that join both passes of forward-backward: posteriors and expected counts.
#pragma once

#include "posterior_tiles.hpp"

namespace conv2d::simd::CONV2D_PATH {
namespace {

constexpr double kUnseen = -60.0; // posteriors below 2^-60, and D like them together, are left out
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
            within.inside[q][r] =
                mul(mul(source, load(inner.near_linear + (r - q) * width + k)), load(after + (kRows - 1 - r) * width));
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
            possible =
                backward.impossible ? mul(possible, load(backward.possible + (kRows - 1 - r) * width + k)) : possible;
            const std::size_t m = kRows - 1 - r;
            const F64 whole = mul(mul(weight, load(inner.near_mantissa + (r - q) * width + k)),
                                  mul(load(after + m * width), possible));
            const F64 scale =
                add(add(reach, load(inner.near_exponent + (r - q) * width + k)), load(after_exponent + m * width));
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
                add_states_tile(sums, forward.sources + at * kRows * width + k,
                                select(seen, power_of_two(min(reach, broadcast(900.0))), zero()),
                                inner.linear + (c - 1) * kChunkRows * width + k, width, forward.states - k);
                running = true;
                const F64 lost = max(
                    load(forward.source_lossy + at * width + k),
                    max(load(backward.source_lossy + mirrored * width + k), load(inner.lossy + (c - 1) * width + k)));
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

} // namespace
} // namespace conv2d::simd::CONV2D_PATH
