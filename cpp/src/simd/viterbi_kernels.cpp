#include "viterbi_kernels.hpp"

#include "f64_math.hpp"

namespace conv2d::simd::CONV2D_PATH {
namespace {

constexpr double kNone = -__builtin_inf();
constexpr std::size_t kBlock = kViterbiBlock;
constexpr std::size_t kManyStates = 24; // from here on some are ruled out before their transitions are looked at

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

constexpr double kMost = 1e200;
constexpr unsigned kAllLanes = (1u << F64::lanes) - 1;

inline bool is_score(double value) { return value <= kMost && (value >= -kMost || value == kNone); }

// Whether all lanes are log scores. NaN fails every comparison.
inline bool are_scores(F64 a) {
    if (bits(at_most(a, broadcast(kMost))) != kAllLanes) {
        return false;
    }
    const unsigned low = bits(greater(broadcast(-kMost), a));
    return low == 0 || (low & ~bits(equal(a, broadcast(kNone)))) == 0;
}

bool valid(const double *values, std::size_t n) noexcept {
    std::size_t i = 0;
    for (; i + F64::lanes <= n; i += F64::lanes) {
        if (!are_scores(load(values + i))) {
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
    double largest[kBlock];
    if (states < F64::lanes) {
        for (std::size_t r = 0; r < rows; ++r) {
            const double *row = emissions + r * states;
            largest[r] = kNone;
            for (std::size_t k = 0; k < states; ++k) {
                if (!is_score(row[k])) {
                    return false;
                }
                largest[r] = row[k] > largest[r] ? row[k] : largest[r];
            }
        }
    } else {
        F64 most[kBlock];
        F64 zero = broadcast(0.0);
        F64 least = zero;
        for (std::size_t r = 0; r < kBlock; ++r) {
            const double *row = emissions + (r < rows ? r : 0) * states;
            F64 part = load(row + states - F64::lanes); // overlaps others, which no maximum minds
            most[r] = part;
            least = min(part, least);
            zero = add(sub(part, part), zero); // NaN and infinities leave NaN
            for (std::size_t k = 0; k + F64::lanes < states; k += F64::lanes) {
                part = load(row + k);
                most[r] = max(part, most[r]);
                least = min(part, least);
                zero = add(sub(part, part), zero);
            }
        }
        if (bits(equal(zero, broadcast(0.0))) != kAllLanes || any(greater(broadcast(-kMost), least))) {
            if (!valid(emissions, rows * states)) {
                return false;
            }
        }
        for (std::size_t r = 0; r < kBlock; r += F64::lanes) {
            const F64 found = largest_of(most + r);
            if (any(greater(found, broadcast(kMost)))) {
                return false;
            }
            store(largest + r, found);
        }
    }
    for (std::size_t r = 0; r < rows; ++r) {
        const double *row = emissions + r * states;
        double *to = out + r * padded;
        const double offset = largest[r] == kNone ? 0.0 : largest[r];
        offsets[r] = offset;
        if (states < F64::lanes) {
            for (std::size_t k = 0; k < states; ++k) {
                to[k] = row[k] - offset;
            }
        } else {
            for (std::size_t k = 0; k + F64::lanes < states; k += F64::lanes) {
                store(to + k, sub(load(row + k), broadcast(offset)));
            }
            store(to + states - F64::lanes, sub(load(row + states - F64::lanes), broadcast(offset)));
        }
    }
    return true;
}

// What the 8 ends of a block have seen, for one vector of states.
template <typename Vector, std::size_t Width> class Ends {
  public:
    Ends(const ViterbiGroup &group, std::size_t lane) : group_(group), lane_(lane), best_(group.pending + lane) {}

    [[nodiscard]] Vector lowest() const {
        Vector low = load_as<Vector>(best_);
        for (std::size_t r = 1; r < kBlock; ++r) {
            low = min(low, load_as<Vector>(best_ + r * Width));
        }
        return low;
    }

    // 8 * count places before `end`, for all states; `distance` is that of the place before `end` to the first end.
    void see(std::size_t end, std::size_t distance, std::size_t count) {
        const Adder<Vector> plus;
        const double *open = group_.open + lane_ + end * Width - Width;
        const double *weight = group_.weights + lane_ + (kBlock + distance) * Width;
        Vector best[kBlock];
#pragma GCC unroll 8
        for (std::size_t r = 0; r < kBlock; ++r) {
            best[r] = load_as<Vector>(best_ + r * Width);
        }
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
#pragma GCC unroll 8
        for (std::size_t r = 0; r < kBlock; ++r) {
            store(best_ + r * Width, best[r]);
        }
    }

    // The states of which a place of this fine bound may beat what one of the ends has seen.
    [[nodiscard]] unsigned above_slope(std::size_t fine, std::size_t distance) const {
        const std::size_t at = lane_ + fine * Width;
        const std::size_t weight = lane_ + distance * Width;
        const Vector fall = load_as<Vector>(group_.weight_slope + weight);
        const Vector along = sub(load_as<Vector>(group_.fine_slope + at), fall);
        const Vector half = broadcast_as<Vector>(0.5 * (kViterbiFine - 1));
        const Vector height =
            add(add(load_as<Vector>(group_.fine_height + at), load_as<Vector>(group_.weight_height + weight)),
                max(mul(along, half), sub(broadcast_as<Vector>(0.0), mul(along, half))));
        unsigned above = 0;
#pragma GCC unroll 8
        for (std::size_t r = 0; r < kBlock; ++r) {
            const Vector away = broadcast_as<Vector>(static_cast<double>(r) - 0.5 * (kBlock - 1));
            above |= bits(greater(fma(fall, away, height), load_as<Vector>(best_ + r * Width)));
        }
        return above;
    }

    // The places of the listed fine bounds for one state only: a vector of places.
    void see_state(std::size_t state, const unsigned *fine, std::size_t count, std::size_t start) {
        const Adder<F64> plus;
        const std::size_t lane = lane_ + state;
        const double *turned = group_.turned + lane * group_.turned_stride;
        const double *backwards = group_.backwards + lane * group_.backwards_stride + group_.zero - (start + 1);
        F64 best[kBlock];
#pragma GCC unroll 8
        for (std::size_t r = 0; r < kBlock; ++r) {
            best[r] = broadcast(kNone);
        }
        for (std::size_t n = 0; n < count; ++n) {
            const std::size_t place = fine[n] * kViterbiFine;
            for (std::size_t i = place; i < place + kViterbiFine; i += F64::lanes) {
                const F64 places = load(turned + i);
#pragma GCC unroll 8
                for (std::size_t r = 0; r < kBlock; ++r) {
                    best[r] = max(plus(places, load(backwards + i - r)), best[r]);
                }
            }
        }
        double largest[kBlock];
        for (std::size_t r = 0; r < kBlock; r += F64::lanes) {
            store(largest + r, largest_of(best + r));
        }
        double *to = best_ + state;
        for (std::size_t r = 0; r < kBlock; ++r) {
            to[r * Width] = largest[r] > to[r * Width] ? largest[r] : to[r * Width];
        }
    }

  private:
    const ViterbiGroup &group_;
    std::size_t lane_;
    double *best_;
};

template <typename Vector, std::size_t Width>
void gather_lanes(const ViterbiBlock &block, const ViterbiGroup &group, std::size_t lane) noexcept {
    const std::size_t start = block.start;
    const std::size_t end = start + block.passed + 1;
    for (std::size_t r = 0; r < kBlock; ++r) {
        store(group.pending + lane + r * Width, end <= block.durations
                                                    ? add(load_as<Vector>(group.initial + lane),
                                                          load_as<Vector>(group.opening + lane + (end + r) * Width))
                                                    : broadcast_as<Vector>(kNone));
    }
    Ends<Vector, Width> ends(group, lane);
    const std::size_t reach = block.durations > 1 ? block.durations - 1 : 0; // places before the block
    const std::size_t oldest = start > reach ? start - reach : 0;
    if (!block.pruned) {
        ends.see(start, 2, (start - oldest + kBlock - 1) / kBlock);
        return;
    }
    const std::size_t newest = start / kViterbiCoarse;
    const std::size_t first = oldest / kViterbiCoarse;
    ends.see(start, 2, (start - newest * kViterbiCoarse) / kBlock);
    // A fine bound that many states break is looked at for all of them; for few, it is listed.
    constexpr std::size_t kParts = kViterbiCoarse / kViterbiFine;
    constexpr int kFew = static_cast<int>(Vector::lanes) / 2;
    std::size_t counts[Vector::lanes] = {};
    const auto look = [&](std::size_t coarse, Vector low) {
        for (std::size_t part = kParts; part-- > 0;) {
            const std::size_t fine = coarse * kParts + part;
            const std::size_t place = fine * kViterbiFine;
            const Vector bound = add(load_as<Vector>(group.fine_max + lane + fine * Width),
                                     load_as<Vector>(group.fine_weight + lane + (start - place) / kBlock * Width));
            unsigned states = bits(greater(bound, low));
            if (states != 0 && group.fine_height != nullptr) {
                states &= ends.above_slope(fine, (start - place) / kBlock);
            }
            if (__builtin_popcount(states) > kFew || Vector::lanes <= 2) {
                if (states != 0) {
                    ends.see(place + kViterbiFine, start + 2 - place - kViterbiFine, kViterbiFine / kBlock);
                }
                continue;
            }
            for (; states != 0; states &= states - 1) {
                const auto state = static_cast<std::size_t>(__builtin_ctz(states));
                block.listed[state * block.listed_stride + counts[state]++] = static_cast<unsigned>(fine);
            }
        }
    };
    const auto look_at_listed = [&] {
        for (std::size_t state = 0; state < Vector::lanes; ++state) {
            if (counts[state] != 0) {
                ends.see_state(state, block.listed + state * block.listed_stride, counts[state], start);
                counts[state] = 0;
            }
        }
    };
    if (newest - first <= 4) {
        for (std::size_t coarse = newest; coarse-- > first;) {
            look(coarse, ends.lowest());
        }
        look_at_listed();
        return;
    }
    // The most promising of each lane first: what they reach rules out most of the others.
    Vector highest = broadcast_as<Vector>(kNone);
    Vector where = broadcast_as<Vector>(static_cast<double>(first));
    Vector number = broadcast_as<Vector>(static_cast<double>(newest));
    const Vector one = broadcast_as<Vector>(1.0);
    for (std::size_t coarse = newest; coarse-- > first;) {
        const Vector bound =
            add(load_as<Vector>(group.coarse_max + lane + coarse * Width),
                load_as<Vector>(group.coarse_weight + lane + (start - coarse * kViterbiCoarse) / kBlock * Width));
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
            look(coarse, ends.lowest());
        }
    }
    look_at_listed();
    const Vector low = ends.lowest();
    for (std::size_t coarse = newest; coarse-- > first;) {
        if (any(greater(load_as<Vector>(block.bounds + coarse * kBlock), low)) && block.done[coarse] == 0) {
            look(coarse, low);
        }
    }
    look_at_listed();
}

template <typename Vector, std::size_t Width>
void slope_lanes(const ViterbiGroup &group, std::size_t lane, std::size_t first, std::size_t last) {
    const Vector zero = broadcast_as<Vector>(0.0);
    const Vector never = broadcast_as<Vector>(kNone);
    for (std::size_t fine = first; fine < last; ++fine) {
        const double *open = group.open + lane + fine * kViterbiFine * Width;
        const Vector rise = mul(sub(load_as<Vector>(open + (kViterbiFine - 1) * Width), load_as<Vector>(open)),
                                broadcast_as<Vector>(1.0 / (kViterbiFine - 1)));
        const Vector slope = select(equal(sub(rise, rise), zero), rise, zero); // none between impossible places
        Vector height = never;
        Vector largest = zero;
        for (std::size_t i = 0; i < kViterbiFine; ++i) {
            const Vector place = load_as<Vector>(open + i * Width);
            const Vector away = broadcast_as<Vector>(static_cast<double>(i) - 0.5 * (kViterbiFine - 1));
            height = max(sub(place, mul(slope, away)), height);
            largest = max(max(place, select(equal(place, never), zero, sub(zero, place))), largest);
        }
        store(group.fine_height + lane + fine * Width,
              add(height, mul(largest, broadcast_as<Vector>(kViterbiSlopeMargin))));
        store(group.fine_slope + lane + fine * Width, slope);
    }
}

void slope(const ViterbiGroup &group, std::size_t first, std::size_t last) noexcept {
    if (group.width == 8) {
        for (std::size_t lane = 0; lane < 8; lane += F64::lanes) {
            slope_lanes<F64, 8>(group, lane, first, last);
        }
    } else {
        for (std::size_t lane = 0; lane < 4; lane += F64Half::lanes) {
            slope_lanes<F64Half, 4>(group, lane, first, last);
        }
    }
}

// The block's 8 rows of `width` doubles, each column to its own place.
template <typename Vector> void turn_rows(const double *rows, std::size_t width, std::size_t columns, double *to,
                                          std::size_t stride, double *also, std::size_t also_stride) {
    constexpr std::size_t kLanes = Vector::lanes;
    for (std::size_t lane = 0; lane < columns; lane += kLanes) {
        for (std::size_t r = 0; r < kBlock; r += kLanes) {
            Vector part[kLanes];
#pragma GCC unroll 8
            for (std::size_t i = 0; i < kLanes; ++i) {
                part[i] = load_as<Vector>(rows + (r + i) * width + lane);
            }
            transpose(part);
#pragma GCC unroll 8
            for (std::size_t i = 0; i < kLanes; ++i) {
                store(to + (lane + i) * stride + r, part[i]);
                if (also != nullptr) {
                    store(also + (lane + i) * also_stride + r, part[i]);
                }
            }
        }
    }
}

void turn(const ViterbiBlock &block) noexcept {
    for (std::size_t g = 0; g < block.groups_count; ++g) {
        const ViterbiGroup &group = block.groups[g];
        if (group.fine_height != nullptr && (block.start + kBlock) % kViterbiFine == 0) {
            slope(group, block.start / kViterbiFine, block.start / kViterbiFine + 1);
        }
        double *turned = group.turned + block.start;
        double *kept = block.places + group.first * block.places_stride;
        const double *open = group.open + block.start * group.width;
        const double *written = block.written + group.first;
        double *also = block.moved ? nullptr : turned;
        if (group.width == 8) {
            turn_rows<F64>(written, block.padded, 8, kept, block.places_stride, also, group.turned_stride);
            if (block.moved) {
                turn_rows<F64>(open, 8, 8, turned, group.turned_stride, nullptr, 0);
            }
        } else {
            turn_rows<F64Half>(written, block.padded, 4, kept, block.places_stride, also, group.turned_stride);
            if (block.moved) {
                turn_rows<F64Half>(open, 4, 4, turned, group.turned_stride, nullptr, 0);
            }
        }
    }
}

ViterbiBest best(const double *places, const double *weights, std::size_t n, const double *amounts,
                 std::size_t amounts_count, double least) noexcept {
    const auto score = [&](std::size_t i) __attribute__((always_inline)) {
        F64 sum = load(places + i);
        for (std::size_t m = 0; m < amounts_count; ++m) {
            sum = add(sum, broadcast(amounts[m]));
        }
        return add(sum, load(weights + i));
    };
    const auto score_one = [&](std::size_t i) {
        double sum = places[i];
        for (std::size_t m = 0; m < amounts_count; ++m) {
            sum += amounts[m];
        }
        return sum + weights[i];
    };
    F64 most = broadcast(least);
    F64 other = most;
    std::size_t i = 0;
    for (; i + 2 * F64::lanes <= n; i += 2 * F64::lanes) {
        most = max(score(i), most);
        other = max(score(i + F64::lanes), other);
    }
    const std::size_t tail = i;
    double lanes[F64::lanes];
    store(lanes, max(most, other));
    double value = least;
    for (const double lane : lanes) {
        value = lane > value ? lane : value;
    }
    for (; i < n; ++i) {
        const double one = score_one(i);
        value = one > value ? one : value;
    }
    if (!(value > least)) {
        return {least, n};
    }
    while (i > tail) {
        if (score_one(--i) == value) {
            return {value, i};
        }
    }
    for (;;) { // it is there
        i -= F64::lanes;
        const unsigned found = bits(equal(score(i), broadcast(value)));
        if (found != 0) {
            return {value, i + 31u - static_cast<unsigned>(__builtin_clz(found))};
        }
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

template <typename Vector, std::size_t Width> [[gnu::always_inline]] inline void
relax_lanes(const ViterbiBlock &block, const ViterbiGroup &group, std::size_t lane, std::size_t r) {
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

// Largest of ended + transition over the states before, for one vector of states after: over all of them, or over the
// `count` ones listed.
template <typename Vector> [[gnu::always_inline]] inline Vector
entered_from(const ViterbiBlock &block, const double *matrix, std::size_t count, const std::size_t *listed) {
    const Adder<Vector> plus;
    const auto score = [&](std::size_t n) __attribute__((always_inline)) {
        const std::size_t from = listed == nullptr ? n : listed[n];
        return plus(broadcast_as<Vector>(block.ended[from]), load_as<Vector>(matrix + from * block.padded));
    };
    Vector best[4]; // chains that do not wait for each other
    for (Vector &one : best) {
        one = broadcast_as<Vector>(kNone);
    }
    std::size_t n = 0;
    for (; n + 4 <= count; n += 4) {
        best[0] = max(score(n), best[0]);
        best[1] = max(score(n + 1), best[1]);
        best[2] = max(score(n + 2), best[2]);
        best[3] = max(score(n + 3), best[3]);
    }
    for (; n < count; ++n) {
        best[0] = max(score(n), best[0]);
    }
    return max(max(best[0], best[1]), max(best[2], best[3]));
}

template <typename Vector, std::size_t Width>
[[gnu::always_inline]] inline void enter_lanes(const ViterbiBlock &block, const ViterbiGroup &group, std::size_t lane,
                                               std::size_t r, std::size_t count, const std::size_t *listed) {
    const std::size_t column = group.first + lane;
    const double *matrix = block.transitions + r * block.transitions_step + column;
    const Vector entered = listed == nullptr ? entered_from<Vector>(block, matrix, count, nullptr)
                                             : entered_from<Vector>(block, matrix, count, listed);
    const Vector score = sub(entered, load_as<Vector>(block.sums + column));
    const std::size_t place = block.start + r;
    store(group.open + lane + place * Width, score);
    store(block.written + r * block.padded + column, score);
    store(block.ends + r * block.padded + column, load_as<Vector>(block.ended + column));
    if (block.pruned) {
        double *fine = group.fine_max + lane + place / kViterbiFine * Width;
        double *coarse = group.coarse_max + lane + place / kViterbiCoarse * Width;
        store(fine, place % kViterbiFine == 0 ? score : max(score, load_as<Vector>(fine)));
        store(coarse, place % kViterbiCoarse == 0 ? score : max(score, load_as<Vector>(coarse)));
    }
}

inline std::size_t index_of(const double *values, std::size_t n, double value) {
    for (std::size_t i = 0; i < n; i += F64::lanes) {
        const unsigned found = bits(equal(load(values + i), broadcast(value)));
        if (found != 0) {
            return i + static_cast<std::size_t>(__builtin_ctz(found));
        }
    }
    return 0;
}

// The two states with the largest scores.
inline void choose_rivals(const ViterbiBlock &block) {
    const double *ended = block.ended; // -inf beyond the last state
    F64 most = broadcast(kNone);
    for (std::size_t k = 0; k < block.padded; k += F64::lanes) {
        most = max(load(ended + k), most);
    }
    const double largest = largest_lane(most);
    most = broadcast(kNone);
    for (std::size_t k = 0; k < block.padded; k += F64::lanes) {
        const F64 score = load(ended + k);
        most = max(select(equal(score, broadcast(largest)), broadcast(kNone), score), most);
    }
    const std::size_t first = index_of(ended, block.padded, largest);
    const std::size_t second = index_of(ended, block.padded, largest_lane(most));
    block.rivals[0] = first;
    block.rivals[1] = second < block.states ? second : first;
}

// Lists the states that two rivals do not keep from being the best one before any other, and returns their count.
inline std::size_t list_below_rivals(const ViterbiBlock &block) {
    const double *ended = block.ended;
    const std::size_t first = block.rivals[0];
    const std::size_t other = block.rivals[1];
    const double *one_row = block.transitions + first * block.padded;
    const double *other_row = block.transitions + other * block.padded;
    F64 lowest = broadcast(__builtin_inf());
    std::size_t k = 0;
    for (; k + F64::lanes <= block.states; k += F64::lanes) {
        lowest =
            min(max(add(broadcast(ended[first]), load(one_row + k)), add(broadcast(ended[other]), load(other_row + k))),
                lowest);
    }
    double low = -largest_lane(sub(broadcast(0.0), lowest));
    for (; k < block.states; ++k) {
        const double a = ended[first] + one_row[k];
        const double b = ended[other] + other_row[k];
        const double larger = a > b ? a : b;
        low = larger < low ? larger : low;
    }
    std::size_t count = 0;
    if (low == kNone) {
        for (; count < block.states; ++count) {
            block.sources[count] = count;
        }
        return count;
    }
    for (k = 0; k < block.padded; k += F64::lanes) { // beyond the last state all is -inf
        unsigned states = bits(at_most(broadcast(low), add(load(ended + k), load(block.most + k))));
        for (; states != 0; states &= states - 1) {
            block.sources[count++] = k + static_cast<std::size_t>(__builtin_ctz(states));
        }
    }
    return count;
}

// Few of many states can be the best one before any other. Those with the largest scores mostly stay the same from
// frame to frame: others are chosen once too many are left.
inline std::size_t list_sources(const ViterbiBlock &block) {
    const std::size_t count = list_below_rivals(block);
    if (count <= block.states / 8) {
        return count;
    }
    choose_rivals(block);
    return list_below_rivals(block);
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
    const bool listed = block.most != nullptr && block.states >= kManyStates;
    const std::size_t *sources = listed ? block.sources : nullptr;
    const std::size_t count = listed ? list_sources(block) : block.states;
    for_lanes(
        block, [&]<typename Vector, std::size_t Width>(const ViterbiGroup &group, std::size_t lane) __attribute__((
                   always_inline)) { enter_lanes<Vector, Width>(block, group, lane, r, count, sources); });
}

// A whole block of states that fit one vector: nothing but the history leaves the registers.
template <typename Vector> std::size_t advance_vector(const ViterbiBlock &block) noexcept {
    constexpr std::size_t kWidth = Vector::lanes;
    const ViterbiGroup &group = *block.groups;
    const Vector never = broadcast_as<Vector>(kNone);
    const Vector limit = broadcast_as<Vector>(block.limit);
    const Vector other_limit = broadcast_as<Vector>(-block.limit);
    Vector transitions[kWidth];
    Vector pending[kBlock];
    Vector sum = load_as<Vector>(block.sums);
    Vector ended = load_as<Vector>(block.ended);
    Vector highest = never;
    const double *weights = group.weights + (kBlock + 1) * kWidth;
    double *open = group.open + block.start * kWidth;
    std::size_t stopped = kBlock;
#pragma GCC unroll 8
    for (std::size_t r = 0; r < kBlock; ++r) {
        pending[r] = load_as<Vector>(group.pending + r * kWidth);
    }
#pragma GCC unroll 8
    for (std::size_t from = 0; from < kWidth; ++from) {
        transitions[from] = from < block.states ? load_as<Vector>(block.transitions + from * kWidth) : never;
    }
#pragma GCC unroll 8
    for (std::size_t r = 0; r < kBlock; ++r) {
        double *ends = block.ends + r * kWidth;
        store(ends, ended);
        Vector entered[kWidth];
#pragma GCC unroll 8
        for (std::size_t from = 0; from < kWidth; ++from) {
            entered[from] = add(broadcast_as<Vector>(ends[from]), transitions[from]);
        }
#pragma GCC unroll 3
        for (std::size_t half = kWidth / 2; half != 0; half /= 2) {
#pragma GCC unroll 4
            for (std::size_t from = 0; from < half; ++from) {
                entered[from] = max(entered[from], entered[from + half]);
            }
        }
        const Vector score = sub(entered[0], sum);
        store(open + r * kWidth, score);
        store(block.written + r * kWidth, score);
        highest = max(score, highest);
        const Vector next = add(sum, load_as<Vector>(block.emissions + r * kWidth));
        if (bits(greater(other_limit, next)) | bits(greater(next, limit))) {
            stopped = r;
            break;
        }
        sum = next;
#pragma GCC unroll 8
        for (std::size_t j = r; j < kBlock; ++j) {
            pending[j] = max(add(score, load_as<Vector>(weights + (j - r) * kWidth)), pending[j]);
        }
        ended = add(sum, pending[r]);
    }
    store(block.sums, sum);
    store(block.ended, ended);
#pragma GCC unroll 8
    for (std::size_t r = 0; r < kBlock; ++r) {
        store(group.pending + r * kWidth, pending[r]);
    }
    if (block.pruned) {
        double *fine = group.fine_max + block.start / kViterbiFine * kWidth;
        double *coarse = group.coarse_max + block.start / kViterbiCoarse * kWidth;
        store(fine, block.start % kViterbiFine == 0 ? highest : max(highest, load_as<Vector>(fine)));
        store(coarse, block.start % kViterbiCoarse == 0 ? highest : max(highest, load_as<Vector>(coarse)));
    }
    return stopped;
}

std::size_t advance(const ViterbiBlock &block, std::size_t from, std::size_t to) noexcept {
    if (from == 0 && to == kBlock && block.groups_count == 1) {
        if (block.padded == F64::lanes) {
            return advance_vector<F64>(block);
        }
        if (block.padded == F64Half::lanes) {
            return advance_vector<F64Half>(block);
        }
    }
    for (std::size_t r = from; r < to; ++r) {
        enter(block, r);
        const double *emissions = block.emissions + r * block.padded;
        unsigned beyond = 0;
        for_lanes(
            block, [&]<typename Vector, std::size_t Width>(const ViterbiGroup &group,
                                                           std::size_t lane) __attribute__((always_inline)) {
                const std::size_t column = group.first + lane;
                const Vector sum = add(load_as<Vector>(block.sums + column), load_as<Vector>(emissions + column));
                beyond |= bits(greater(broadcast_as<Vector>(-block.limit), sum)) |
                          bits(greater(sum, broadcast_as<Vector>(block.limit)));
            });
        if (beyond != 0) {
            return r;
        }
        for_lanes(
            block, [&]<typename Vector, std::size_t Width>(const ViterbiGroup &group,
                                                           std::size_t lane) __attribute__((always_inline)) {
                const std::size_t column = group.first + lane;
                const Vector sum = add(load_as<Vector>(block.sums + column), load_as<Vector>(emissions + column));
                store(block.sums + column, sum);
                relax_lanes<Vector, Width>(block, group, lane, r);
                store(block.ended + column, add(sum, load_as<Vector>(group.pending + lane + r * Width)));
            });
    }
    return to;
}

// `emissions` hold the weight of the one duration, too.
template <typename Vector>
void advance_plain_vector(const ViterbiBlock &block, std::size_t start, std::size_t to) noexcept {
    constexpr std::size_t kWidth = Vector::lanes;
    const Vector never = broadcast_as<Vector>(kNone);
    Vector transitions[kWidth];
    Vector numbers[kWidth];
#pragma GCC unroll 8
    for (std::size_t from = 0; from < kWidth; ++from) {
        transitions[from] = from < block.states ? load_as<Vector>(block.transitions + from * kWidth) : never;
        numbers[from] = broadcast_as<Vector>(static_cast<double>(from));
    }
    Vector ended = load_as<Vector>(block.ended);
    for (std::size_t r = start; r < to; ++r) {
        double *ends = block.ends + r * kWidth;
        store(ends, ended);
        Vector entered[kWidth];
        Vector best[kWidth];
#pragma GCC unroll 8
        for (std::size_t from = 0; from < kWidth; ++from) {
            entered[from] = add(broadcast_as<Vector>(ends[from]), transitions[from]);
            best[from] = entered[from];
        }
#pragma GCC unroll 3
        for (std::size_t half = kWidth / 2; half != 0; half /= 2) {
#pragma GCC unroll 4
            for (std::size_t from = 0; from < half; ++from) {
                best[from] = max(best[from], best[from + half]);
            }
        }
        ended = add(best[0], load_as<Vector>(block.emissions + r * kWidth));
        Vector origin = numbers[kWidth - 1];
#pragma GCC unroll 8
        for (std::size_t later = 0; later < kWidth; ++later) { // the smallest last
            const std::size_t from = kWidth - 1 - later;
            origin = select(equal(entered[from], best[0]), numbers[from], origin);
        }
        store_bytes(block.origins + r * kWidth, origin);
    }
    store(block.ended, ended);
}

void advance_plain(const ViterbiBlock &block, std::size_t start, std::size_t to) noexcept {
    if (block.padded == F64::lanes && block.transitions_step == 0) {
        advance_plain_vector<F64>(block, start, to);
        return;
    }
    if (block.padded == F64Half::lanes && block.transitions_step == 0) {
        advance_plain_vector<F64Half>(block, start, to);
        return;
    }
    for (std::size_t r = start; r < to; ++r) {
        double *ends = block.ends + r * block.padded;
        for (std::size_t k = 0; k < block.padded; ++k) {
            ends[k] = block.ended[k];
        }
        const double *matrix = block.transitions + r * block.transitions_step;
        for_lanes(
            block, [&]<typename Vector, std::size_t Width>(const ViterbiGroup &group, std::size_t lane)
                       __attribute__((always_inline)) {
                           const std::size_t column = group.first + lane;
                           const auto entered = [&](std::size_t from) __attribute__((always_inline)) {
                               return add(broadcast_as<Vector>(ends[from]),
                                          load_as<Vector>(matrix + from * block.padded + column));
                           };
                           const std::size_t half = block.states / 2; // two chains at once
                           const Vector one = broadcast_as<Vector>(1.0);
                           Vector low = entered(0);
                           Vector high = entered(half);
                           Vector low_origin = broadcast_as<Vector>(0.0);
                           Vector high_origin = broadcast_as<Vector>(static_cast<double>(half));
                           Vector low_number = low_origin;
                           Vector high_number = high_origin;
                           for (std::size_t from = 1; from < half; ++from) {
                               low_number = add(low_number, one);
                               const Vector score = entered(from);
                               low_origin = select(greater(score, low), low_number, low_origin);
                               low = max(score, low);
                           }
                           for (std::size_t from = half + 1; from < block.states; ++from) {
                               high_number = add(high_number, one);
                               const Vector score = entered(from);
                               high_origin = select(greater(score, high), high_number, high_origin);
                               high = max(score, high);
                           }
                           const Vector origin = select(greater(high, low), high_origin, low_origin);
                           store(block.ended + column,
                                 add(max(high, low), load_as<Vector>(block.emissions + r * block.padded + column)));
                           if (block.states <= 256) {
                               store_bytes(block.origins + r * block.padded + column, origin);
                           }
                       });
    }
}

} // namespace

extern const ViterbiKernels kViterbiKernels;
constexpr ViterbiKernels kViterbiKernels{center,        valid, gather, relax, advance,
                                         advance_plain, turn,  slope,  best,  enter};

} // namespace conv2d::simd::CONV2D_PATH
