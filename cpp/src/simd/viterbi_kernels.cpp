#include "viterbi_kernels.hpp"

#include "f64.hpp"

namespace conv2d::simd::CONV2D_PATH {
namespace {

constexpr double kNone = -__builtin_inf();
constexpr std::size_t kBlock = kViterbiBlock;

// a + b. Where adding and comparing share their units and multiplying has its own (Zen 4 and 5), a fused
// multiplication by one takes the work off them, and rounds the same. The one must be hidden from the compiler, which
// would make a plain addition of it.
#if CONV2D_PATH_IS_AVX512 || CONV2D_PATH_IS_AVX2
template <typename Vector> struct Adder {
    Vector one;
    Adder() {
        double value = 1.0;
        __asm__("" : "+x"(value));
        one = broadcast_as<Vector>(value);
    }
    Vector operator()(Vector a, Vector b) const { return fma(a, one, b); }
};
#else
template <typename Vector> struct Adder {
    Vector operator()(Vector a, Vector b) const { return add(a, b); }
};
#endif

inline bool is_score(double value) { return value <= 1e200 && (value >= -1e200 || value == kNone); }

bool valid(const double *values, std::size_t n) noexcept {
    const F64 most = broadcast(1e200);
    const F64 least = broadcast(-1e200);
    const F64 never = broadcast(kNone);
    const unsigned all = (1u << F64::lanes) - 1;
    std::size_t i = 0;
    for (; i + 2 * F64::lanes <= n; i += 2 * F64::lanes) {
        const F64 a = load(values + i);
        const F64 b = load(values + i + F64::lanes);
        // NaN fails every comparison but an unordered one; "not beyond" is written so that it fails here, too.
        const unsigned low = bits(greater(least, a)) | bits(greater(a, most)) | (bits(equal(a, a)) ^ all);
        const unsigned high = bits(greater(least, b)) | bits(greater(b, most)) | (bits(equal(b, b)) ^ all);
        if (low != 0 && (low & ~bits(equal(a, never))) != 0) {
            return false;
        }
        if (high != 0 && (high & ~bits(equal(b, never))) != 0) {
            return false;
        }
    }
    for (; i < n; ++i) {
        if (!is_score(values[i])) {
            return false;
        }
    }
    return true;
}

bool center(const double *emissions, std::size_t rows, std::size_t states, std::size_t padded, double *out,
            double *offsets) noexcept {
    if (!valid(emissions, rows * states)) {
        return false;
    }
    for (std::size_t r = 0; r < rows; ++r) {
        const double *row = emissions + r * states;
        double *to = out + r * padded;
        std::size_t k = 0;
        double largest = kNone;
        if (states >= F64::lanes) {
            F64 most = load(row);
            for (k = F64::lanes; k + F64::lanes <= states; k += F64::lanes) {
                most = max(most, load(row + k));
            }
            double lanes[F64::lanes];
            store(lanes, most);
            for (const double lane : lanes) {
                largest = lane > largest ? lane : largest;
            }
        }
        for (; k < states; ++k) {
            largest = row[k] > largest ? row[k] : largest;
        }
        const double offset = largest == kNone ? 0.0 : largest;
        offsets[r] = offset;
        for (k = 0; k + F64::lanes <= states; k += F64::lanes) {
            store(to + k, sub(load(row + k), broadcast(offset)));
        }
        for (; k < states; ++k) {
            to[k] = row[k] - offset;
        }
        for (; k < padded; ++k) {
            to[k] = 0.0;
        }
    }
    return true;
}

// The 8 ends of a block, one vector of states.
template <typename Vector> struct Ends {
    Vector best[kBlock];

    [[nodiscard]] Vector lowest() const {
        Vector low = best[0];
        for (std::size_t r = 1; r < kBlock; ++r) {
            low = min(low, best[r]);
        }
        return low;
    }

    // The places below `last` down to last - 8 * count; weight is that of `last - 1` at the first end.
    template <std::size_t Width>
    [[gnu::always_inline]] inline void see(const double *last, const double *weight, std::size_t count) {
        const Adder<Vector> plus;
        const double *open = last - Width;
#if CONV2D_PATH_IS_AVX512 || CONV2D_PATH_IS_NEON
        Vector seen[kBlock]; // the weights between this place and the ends; each serves 8 places
#pragma GCC unroll 8
        for (std::size_t r = 0; r < kBlock; ++r) {
            seen[r] = load_as<Vector>(weight + r * Width);
        }
        for (; count != 0; --count) {
#pragma GCC unroll 8
            for (std::size_t q = 0; q < kBlock; ++q) {
                const Vector place = load_as<Vector>(open - q * Width);
#pragma GCC unroll 8
                for (std::size_t r = 0; r < kBlock; ++r) {
                    best[r] = max(plus(place, seen[(q + r) % kBlock]), best[r]);
                }
                seen[q] = load_as<Vector>(weight + (kBlock + q) * Width);
            }
            open -= kBlock * Width;
            weight += kBlock * Width;
        }
#else // too few registers to keep them
        for (count *= kBlock; count != 0; --count) {
            const Vector place = load_as<Vector>(open);
#pragma GCC unroll 8
            for (std::size_t r = 0; r < kBlock; ++r) {
                best[r] = max(plus(place, load_as<Vector>(weight + r * Width)), best[r]);
            }
            open -= Width;
            weight += Width;
        }
#endif
    }
};

template <typename Vector, std::size_t Width>
void gather_lanes(const ViterbiBlock &block, const ViterbiGroup &group, std::size_t lane) noexcept {
    const std::size_t start = block.start;
    const std::size_t end = start + block.passed + 1;
    const double *weights = group.weights + lane;
    const double *open = group.open + lane;
    Ends<Vector> ends;
    for (std::size_t r = 0; r < kBlock; ++r) {
        ends.best[r] = end <= block.durations ? add(load_as<Vector>(group.initial + lane),
                                                    load_as<Vector>(group.opening + lane + (end + r) * Width))
                                              : broadcast_as<Vector>(kNone);
    }
    // weights has kBlock rows before duration 0; the place before the block's first lies two before its first end.
    const double *nearest = weights + (kBlock + 2) * Width;
    const std::size_t reach = block.durations > 1 ? block.durations - 1 : 0; // places before the block
    const std::size_t oldest = start > reach ? start - reach : 0;
    if (!block.pruned) {
        ends.template see<Width>(open + start * Width, nearest, (start - oldest + kBlock - 1) / kBlock);
    } else {
        const std::size_t newest = start / kViterbiCoarse;
        ends.template see<Width>(open + start * Width, nearest, (start - newest * kViterbiCoarse) / kBlock);
        const std::size_t first = oldest / kViterbiCoarse;
        const auto look = [&](std::size_t coarse) __attribute__((always_inline)) {
            Vector low = ends.lowest();
            for (std::size_t place = (coarse + 1) * kViterbiCoarse; place > coarse * kViterbiCoarse;) {
                place -= kViterbiFine;
                const Vector bound = add(load_as<Vector>(group.fine_max + lane + place / kViterbiFine * Width),
                                         load_as<Vector>(group.fine_weight + lane + (start - place) / kBlock * Width));
                if (any(greater(bound, low))) {
                    ends.template see<Width>(open + (place + kViterbiFine) * Width,
                                             nearest + (start - place - kViterbiFine) * Width, kViterbiFine / kBlock);
                    low = ends.lowest();
                }
            }
        };
        const auto bound_of = [&](std::size_t coarse) {
            return add(load_as<Vector>(group.coarse_max + lane + coarse * Width),
                       load_as<Vector>(group.coarse_weight + lane + (start - coarse * kViterbiCoarse) / kBlock * Width));
        };
        if (newest - first <= 4) {
            for (std::size_t coarse = newest; coarse-- > first;) {
                look(coarse);
            }
        } else {
            // The most promising of each lane first: what they reach rules out most of the others.
            Vector highest = broadcast_as<Vector>(kNone);
            Vector where = broadcast_as<Vector>(static_cast<double>(first));
            Vector number = broadcast_as<Vector>(static_cast<double>(newest));
            const Vector one = broadcast_as<Vector>(1.0);
            for (std::size_t coarse = newest; coarse-- > first;) {
                const Vector bound = bound_of(coarse);
                number = sub(number, one);
                const auto better = greater(bound, highest);
                highest = max(bound, highest);
                where = select(better, number, where);
                store(block.bounds + coarse * kBlock, bound);
                block.done[coarse] = 0;
            }
            double numbers[Vector::lanes];
            store(numbers, where);
            for (const double one_lane : numbers) {
                const auto coarse = static_cast<std::size_t>(one_lane);
                if (block.done[coarse] == 0) {
                    block.done[coarse] = 1;
                    look(coarse);
                }
            }
            Vector low = ends.lowest();
            for (std::size_t coarse = newest; coarse-- > first;) {
                if (any(greater(load_as<Vector>(block.bounds + coarse * kBlock), low)) && block.done[coarse] == 0) {
                    look(coarse);
                    low = ends.lowest();
                }
            }
        }
    }
    for (std::size_t r = 0; r < kBlock; ++r) {
        store(group.pending + lane + r * Width, ends.best[r]);
    }
}

void gather(const ViterbiBlock &block, const ViterbiGroup &group) noexcept {
    if (group.width == 8) {
        for (std::size_t lane = 0; lane < 8; lane += F64::lanes) {
            gather_lanes<F64, 8>(block, group, lane);
        }
    } else {
        for (std::size_t lane = 0; lane < 4; lane += F64Half::lanes) {
            gather_lanes<F64Half, 4>(block, group, lane);
        }
    }
}

template <typename Vector, std::size_t Width>
[[gnu::always_inline]] inline void relax_lanes(const ViterbiBlock &block, const ViterbiGroup &group, std::size_t lane,
                                               std::size_t r) {
    const Vector place = load_as<Vector>(group.open + lane + (block.start + r) * Width);
    const double *weight = group.weights + lane + (kBlock + 1) * Width;
    double *pending = group.pending + lane + r * Width;
    for (std::size_t j = r; j < kBlock; ++j, pending += Width, weight += Width) {
        store(pending, max(add(place, load_as<Vector>(weight)), load_as<Vector>(pending)));
    }
}

void relax(const ViterbiBlock &block, const ViterbiGroup &group, std::size_t r) noexcept {
    if (group.width == 8) {
        for (std::size_t lane = 0; lane < 8; lane += F64::lanes) {
            relax_lanes<F64, 8>(block, group, lane, r);
        }
    } else {
        for (std::size_t lane = 0; lane < 4; lane += F64Half::lanes) {
            relax_lanes<F64Half, 4>(block, group, lane, r);
        }
    }
}

template <typename Vector, std::size_t Width>
[[gnu::always_inline]] inline void enter_lanes(const ViterbiBlock &block, const ViterbiGroup &group, std::size_t lane,
                                               std::size_t r) {
    const Adder<Vector> plus;
    const std::size_t column = group.first + lane;
    const double *matrix = block.transitions + r * block.transitions_step + column;
    const double *ended = block.ended;
    Vector even = broadcast_as<Vector>(kNone);
    Vector odd = even;
    Vector third = even;
    Vector fourth = even;
    std::size_t from = 0;
    for (; from + 4 <= block.states; from += 4, matrix += 4 * block.padded) {
        even = max(plus(broadcast_as<Vector>(ended[from]), load_as<Vector>(matrix)), even);
        odd = max(plus(broadcast_as<Vector>(ended[from + 1]), load_as<Vector>(matrix + block.padded)), odd);
        third = max(plus(broadcast_as<Vector>(ended[from + 2]), load_as<Vector>(matrix + 2 * block.padded)), third);
        fourth = max(plus(broadcast_as<Vector>(ended[from + 3]), load_as<Vector>(matrix + 3 * block.padded)), fourth);
    }
    for (; from < block.states; ++from, matrix += block.padded) {
        even = max(plus(broadcast_as<Vector>(ended[from]), load_as<Vector>(matrix)), even);
    }
    const Vector entered = max(max(even, odd), max(third, fourth));
    const Vector score = sub(entered, load_as<Vector>(block.sums + column));
    const std::size_t place = block.start + r;
    store(group.open + lane + place * Width, score);
    store(block.places + r * block.padded + column, score);
    store(block.ends + r * block.padded + column, load_as<Vector>(ended + column));
    if (block.pruned) {
        double *fine = group.fine_max + lane + place / kViterbiFine * Width;
        double *coarse = group.coarse_max + lane + place / kViterbiCoarse * Width;
        store(fine, place % kViterbiFine == 0 ? score : max(score, load_as<Vector>(fine)));
        store(coarse, place % kViterbiCoarse == 0 ? score : max(score, load_as<Vector>(coarse)));
    }
}

// Calls each<Vector, Width>(group, lane) for every vector of states.
template <typename Each> [[gnu::always_inline]] inline void for_lanes(const ViterbiBlock &block, Each &&each) {
    for (std::size_t g = 0; g < block.groups_count; ++g) {
        const ViterbiGroup &group = block.groups[g];
        if (group.width == 8) {
            for (std::size_t lane = 0; lane < 8; lane += F64::lanes) {
                each.template operator()<F64, 8>(group, lane);
            }
        } else {
            for (std::size_t lane = 0; lane < 4; lane += F64Half::lanes) {
                each.template operator()<F64Half, 4>(group, lane);
            }
        }
    }
}

void enter(const ViterbiBlock &block, std::size_t r) noexcept {
    for_lanes(block, [&]<typename Vector, std::size_t Width>(const ViterbiGroup &group, std::size_t lane)
                         __attribute__((always_inline)) { enter_lanes<Vector, Width>(block, group, lane, r); });
}

std::size_t advance(const ViterbiBlock &block, std::size_t from, std::size_t to) noexcept {
    for (std::size_t r = from; r < to; ++r) {
        enter(block, r);
        const double *emissions = block.emissions + r * block.padded;
        unsigned beyond = 0;
        for_lanes(block, [&]<typename Vector, std::size_t Width>(const ViterbiGroup &group, std::size_t lane)
                             __attribute__((always_inline)) {
            const std::size_t column = group.first + lane;
            const Vector sum = add(load_as<Vector>(block.sums + column), load_as<Vector>(emissions + column));
            beyond |= bits(greater(broadcast_as<Vector>(-block.limit), sum)) |
                      bits(greater(sum, broadcast_as<Vector>(block.limit)));
        });
        if (beyond != 0) {
            return r;
        }
        for_lanes(block, [&]<typename Vector, std::size_t Width>(const ViterbiGroup &group, std::size_t lane)
                             __attribute__((always_inline)) {
            const std::size_t column = group.first + lane;
            const Vector sum = add(load_as<Vector>(block.sums + column), load_as<Vector>(emissions + column));
            store(block.sums + column, sum);
            relax_lanes<Vector, Width>(block, group, lane, r);
            store(block.ended + column, add(sum, load_as<Vector>(group.pending + lane + r * Width)));
        });
    }
    return to;
}

} // namespace

extern const ViterbiKernels kViterbiKernels;
constexpr ViterbiKernels kViterbiKernels{center, valid, gather, relax, advance, enter};

} // namespace conv2d::simd::CONV2D_PATH
