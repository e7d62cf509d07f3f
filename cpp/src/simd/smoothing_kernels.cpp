#include "smoothing_kernels.hpp"

#include "u8.hpp"

#include <cstring>

namespace conv2d::simd::CONV2D_PATH {
namespace {

// ---- windows of bytes -------------------------------------------------------------------------------------------

// Orders two lanes of a network.
[[gnu::always_inline]] inline void order(U8 &a, U8 &b) {
    const U8 low = min(a, b);
    b = max(a, b);
    a = low;
}

// Sorts v[0 .. N-1] by the shortest known networks (Knuth, The Art of Computer Programming 3, 5.3.4).
template <std::size_t N> [[gnu::always_inline]] inline void sort(U8 *v) {
    static_assert(N <= 8);
#define CONV2D_ORDER(i, j) order(v[i], v[j]);
    if constexpr (N == 2) {
        CONV2D_ORDER(0, 1)
    } else if constexpr (N == 3) {
        CONV2D_ORDER(0, 2) CONV2D_ORDER(0, 1) CONV2D_ORDER(1, 2)
    } else if constexpr (N == 4) {
        CONV2D_ORDER(0, 2) CONV2D_ORDER(1, 3) CONV2D_ORDER(0, 1) CONV2D_ORDER(2, 3) CONV2D_ORDER(1, 2)
    } else if constexpr (N == 5) {
        CONV2D_ORDER(0, 3)
        CONV2D_ORDER(1, 4) CONV2D_ORDER(0, 2) CONV2D_ORDER(1, 3) CONV2D_ORDER(0, 1) CONV2D_ORDER(2, 4)
            CONV2D_ORDER(1, 2) CONV2D_ORDER(3, 4) CONV2D_ORDER(2, 3)
    } else if constexpr (N == 6) {
        CONV2D_ORDER(0, 5)
        CONV2D_ORDER(1, 3) CONV2D_ORDER(2, 4) CONV2D_ORDER(1, 2) CONV2D_ORDER(3, 4) CONV2D_ORDER(0, 3)
            CONV2D_ORDER(2, 5) CONV2D_ORDER(0, 1) CONV2D_ORDER(2, 3) CONV2D_ORDER(4, 5) CONV2D_ORDER(1, 2)
                CONV2D_ORDER(3, 4)
    } else if constexpr (N == 7) {
        CONV2D_ORDER(0, 6)
        CONV2D_ORDER(2, 3) CONV2D_ORDER(4, 5) CONV2D_ORDER(0, 2) CONV2D_ORDER(1, 4) CONV2D_ORDER(3, 6)
            CONV2D_ORDER(0, 1) CONV2D_ORDER(2, 5) CONV2D_ORDER(3, 4) CONV2D_ORDER(1, 2) CONV2D_ORDER(4, 6)
                CONV2D_ORDER(2, 3) CONV2D_ORDER(4, 5) CONV2D_ORDER(1, 2) CONV2D_ORDER(3, 4) CONV2D_ORDER(5, 6)
    } else if constexpr (N == 8) {
        CONV2D_ORDER(0, 2)
        CONV2D_ORDER(1, 3) CONV2D_ORDER(4, 6) CONV2D_ORDER(5, 7) CONV2D_ORDER(0, 4) CONV2D_ORDER(1, 5)
            CONV2D_ORDER(2, 6) CONV2D_ORDER(3, 7) CONV2D_ORDER(0, 1) CONV2D_ORDER(2, 3) CONV2D_ORDER(4, 5)
                CONV2D_ORDER(6, 7) CONV2D_ORDER(2, 4) CONV2D_ORDER(3, 5) CONV2D_ORDER(1, 4) CONV2D_ORDER(3, 6)
                    CONV2D_ORDER(1, 2) CONV2D_ORDER(3, 4) CONV2D_ORDER(5, 6)
    }
#undef CONV2D_ORDER
}

struct MedianOf {
    // Both halves sorted, the median is the smallest over i + j = W / 2 + 1 of the largest among the i smallest of one
    // and the j smallest of the other: fewer steps than sorting the window (22 for W = 7 against 26).
    template <std::size_t W> [[gnu::always_inline]] static inline U8 at(const std::uint8_t *from) {
        constexpr std::size_t kMore = W / 2 + 1;
        U8 v[W];
#pragma GCC unroll 16
        for (std::size_t i = 0; i < W; ++i) {
            v[i] = load(from + i);
        }
        sort<kMore>(v);
        sort<W / 2>(v + kMore);
        U8 median = v[kMore - 1];
#pragma GCC unroll 16
        for (std::size_t j = 0; j < W / 2; ++j) {
            median = min(median, max(v[kMore - 2 - j], v[kMore + j]));
        }
        return median;
    }
};

struct ModeOf {
    template <std::size_t W> [[gnu::always_inline]] static inline U8 at(const std::uint8_t *from) {
        U8 v[W];
        U8 others[W]; // how many other places of the window hold the label of this one
#pragma GCC unroll 16
        for (std::size_t i = 0; i < W; ++i) {
            v[i] = load(from + i);
            others[i] = broadcast(0);
        }
#pragma GCC unroll 16
        for (std::size_t i = 1; i < W; ++i) {
#pragma GCC unroll 16
            for (std::size_t j = 0; j < i; ++j) {
                const M8 same = equal(v[i], v[j]);
                others[i] = count(others[i], same);
                others[j] = count(others[j], same);
            }
        }
        U8 most = others[0];
#pragma GCC unroll 16
        for (std::size_t i = 1; i < W; ++i) {
            most = max(most, others[i]);
        }
        U8 smallest = broadcast(255);
#pragma GCC unroll 16
        for (std::size_t i = 0; i < W; ++i) {
            smallest = min_where(equal(others[i], most), smallest, v[i]);
        }
        return select(equal(others[W / 2], most), v[W / 2], smallest);
    }
};

template <typename Statistic, std::size_t W>
void window(const std::uint8_t *from, std::size_t n, std::uint8_t *to) noexcept {
    const std::uint8_t *first = from - W / 2;
    if (n < U8::lanes) {
        std::uint8_t padded[U8::lanes + W] = {};
        std::uint8_t whole[U8::lanes];
        std::memcpy(padded, first, n + W - 1);
        store(whole, Statistic::template at<W>(padded));
        std::memcpy(to, whole, n);
        return;
    }
    for (std::size_t t = 0; t + U8::lanes <= n; t += U8::lanes) {
        store(to + t, Statistic::template at<W>(first + t));
    }
    store(to + n - U8::lanes, Statistic::template at<W>(first + n - U8::lanes)); // again what is full, for the rest
}

template <typename Statistic>
void windows(const std::uint8_t *from, std::size_t n, std::size_t width, std::uint8_t *to) noexcept {
    if (n == 0) {
        return;
    }
    switch (width) {
    case 1:
        std::memcpy(to, from, n);
        return;
    case 3:
        return window<Statistic, 3>(from, n, to);
    case 5:
        return window<Statistic, 5>(from, n, to);
    case 7:
        return window<Statistic, 7>(from, n, to);
    case 9:
        return window<Statistic, 9>(from, n, to);
    case 11:
        return window<Statistic, 11>(from, n, to);
    case 13:
        return window<Statistic, 13>(from, n, to);
    default:
        return window<Statistic, kShortWindow>(from, n, to);
    }
}

// ---- neighbours -------------------------------------------------------------------------------------------------

constexpr std::size_t kWord = 64;

template <typename Label> [[gnu::always_inline]] inline std::uint64_t change_mask(const Label *labels) {
    std::uint64_t same = 0;
    if constexpr (sizeof(Label) == 1) {
        const auto *bytes = reinterpret_cast<const std::uint8_t *>(labels);
        for (std::size_t i = 0; i < kWord; i += U8::lanes) {
            same |= bits(equal(load(bytes + i), load(bytes + i - 1))) << i;
        }
    } else {
        std::uint8_t equals[kWord];
        for (std::size_t i = 0; i < kWord; ++i) {
            equals[i] = labels[i] == *(labels + i - 1) ? 1 : 0;
        }
        for (std::size_t i = 0; i < kWord; i += U8::lanes) {
            same |= bits(equal(load(equals + i), broadcast(1))) << i;
        }
    }
    return ~same;
}

template <typename Label> std::size_t changes(const Label *labels, std::size_t n) noexcept {
    std::size_t count = 0;
    std::size_t t = 0;
    for (; t + kWord <= n; t += kWord) {
        count += static_cast<std::size_t>(__builtin_popcountll(change_mask(labels + t)));
    }
    for (; t < n; ++t) {
        count += labels[t] != *(labels + t - 1) ? 1 : 0;
    }
    return count;
}

template <typename Label> void change_masks(const Label *labels, std::size_t words, std::uint64_t *masks) noexcept {
    for (std::size_t word = 0; word < words; ++word) {
        masks[word] = change_mask(labels + word * kWord);
    }
}

template <typename Label> bool fits_byte(const Label *labels, std::size_t n, Label *smallest) noexcept {
    Label low = labels[0];
    Label high = labels[0];
    for (std::size_t t = 1; t < n; ++t) {
        low = labels[t] < low ? labels[t] : low;
        high = labels[t] > high ? labels[t] : high;
    }
    *smallest = low;
    return static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low) <= 255;
}

template <typename Label>
void narrow(const Label *labels, std::size_t n, Label smallest, std::uint8_t *bytes) noexcept {
    const auto base = static_cast<std::uint8_t>(smallest);
    for (std::size_t t = 0; t < n; ++t) { // modulo 256, where the difference fits
        bytes[t] = static_cast<std::uint8_t>(static_cast<std::uint8_t>(labels[t]) - base);
    }
}

template <typename Label> void widen(const std::uint8_t *bytes, std::size_t n, Label smallest, Label *labels) noexcept {
    for (std::size_t t = 0; t < n; ++t) { // the sum is a label that was there, so it does not overflow
        labels[t] = static_cast<Label>(smallest + static_cast<Label>(bytes[t]));
    }
}

// ---- the switch with two thresholds -----------------------------------------------------------------------------

struct Decided { // bit i for sample i of 64
    std::uint64_t enter;
    std::uint64_t leave;
    std::uint64_t nan;
};

#if CONV2D_PATH_IS_AVX512

[[gnu::always_inline]] inline Decided decide(const double *p, double enter, double exit) {
    const __m512d high = _mm512_set1_pd(enter);
    const __m512d low = _mm512_set1_pd(exit);
    Decided word{0, 0, 0};
#pragma GCC unroll 8
    for (unsigned i = 0; i < 8; ++i) {
        const __m512d x = _mm512_loadu_pd(p + 8 * i);
        word.enter |= static_cast<std::uint64_t>(_mm512_cmp_pd_mask(x, high, _CMP_GE_OQ)) << 8 * i;
        word.leave |= static_cast<std::uint64_t>(_mm512_cmp_pd_mask(x, low, _CMP_LT_OQ)) << 8 * i;
    }
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; ++i) { // one comparison finds a NaN in either of two vectors
        word.nan |= _mm512_cmp_pd_mask(_mm512_loadu_pd(p + 16 * i), _mm512_loadu_pd(p + 16 * i + 8), _CMP_UNORD_Q);
    }
    return word;
}

[[gnu::always_inline]] inline Decided decide(const float *p, float enter, float exit) {
    const __m512 high = _mm512_set1_ps(enter);
    const __m512 low = _mm512_set1_ps(exit);
    Decided word{0, 0, 0};
#pragma GCC unroll 4
    for (unsigned i = 0; i < 4; ++i) {
        const __m512 x = _mm512_loadu_ps(p + 16 * i);
        word.enter |= static_cast<std::uint64_t>(_mm512_cmp_ps_mask(x, high, _CMP_GE_OQ)) << 16 * i;
        word.leave |= static_cast<std::uint64_t>(_mm512_cmp_ps_mask(x, low, _CMP_LT_OQ)) << 16 * i;
    }
#pragma GCC unroll 2
    for (unsigned i = 0; i < 2; ++i) {
        word.nan |= _mm512_cmp_ps_mask(_mm512_loadu_ps(p + 32 * i), _mm512_loadu_ps(p + 32 * i + 16), _CMP_UNORD_Q);
    }
    return word;
}

[[gnu::always_inline]] inline void store_bits(bool *on, std::uint64_t state) {
    _mm512_storeu_si512(on, _mm512_maskz_set1_epi8(state, 1));
}

#elif CONV2D_PATH_IS_AVX2

[[gnu::always_inline]] inline Decided decide(const double *p, double enter, double exit) {
    const __m256d high = _mm256_set1_pd(enter);
    const __m256d low = _mm256_set1_pd(exit);
    Decided word{0, 0, 0};
    __m256d nan = _mm256_setzero_pd();
#pragma GCC unroll 16
    for (unsigned i = 0; i < 16; ++i) {
        const __m256d x = _mm256_loadu_pd(p + 4 * i);
        const auto above = static_cast<unsigned>(_mm256_movemask_pd(_mm256_cmp_pd(x, high, _CMP_GE_OQ)));
        const auto below = static_cast<unsigned>(_mm256_movemask_pd(_mm256_cmp_pd(x, low, _CMP_LT_OQ)));
        word.enter |= static_cast<std::uint64_t>(above) << 4 * i;
        word.leave |= static_cast<std::uint64_t>(below) << 4 * i;
        nan = _mm256_or_pd(nan, _mm256_cmp_pd(x, x, _CMP_UNORD_Q));
    }
    word.nan = static_cast<unsigned>(_mm256_movemask_pd(nan));
    return word;
}

[[gnu::always_inline]] inline Decided decide(const float *p, float enter, float exit) {
    const __m256 high = _mm256_set1_ps(enter);
    const __m256 low = _mm256_set1_ps(exit);
    Decided word{0, 0, 0};
    __m256 nan = _mm256_setzero_ps();
#pragma GCC unroll 8
    for (unsigned i = 0; i < 8; ++i) {
        const __m256 x = _mm256_loadu_ps(p + 8 * i);
        const auto above = static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(x, high, _CMP_GE_OQ)));
        const auto below = static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(x, low, _CMP_LT_OQ)));
        word.enter |= static_cast<std::uint64_t>(above) << 8 * i;
        word.leave |= static_cast<std::uint64_t>(below) << 8 * i;
        nan = _mm256_or_ps(nan, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    }
    word.nan = static_cast<unsigned>(_mm256_movemask_ps(nan));
    return word;
}

[[gnu::always_inline]] inline void store_bits(bool *on, std::uint64_t state) {
    const __m256i byte = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3,
                                          3, 3, 3, 3, 3, 3);
    const __m256i place = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201u));
    for (unsigned half = 0; half < 2; ++half) {
        const __m256i word = _mm256_set1_epi32(static_cast<int>(static_cast<std::uint32_t>(state >> 32 * half)));
        const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(_mm256_shuffle_epi8(word, byte), place), place);
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(on + 32 * half), _mm256_and_si256(set, _mm256_set1_epi8(1)));
    }
}

#else

template <typename Real> [[gnu::always_inline]] inline Decided decide(const Real *p, Real enter, Real exit) {
    std::uint8_t above[kWord];
    std::uint8_t below[kWord];
    std::uint8_t nan = 0;
    for (std::size_t i = 0; i < kWord; ++i) {
        above[i] = p[i] >= enter ? 1 : 0;
        below[i] = p[i] < exit ? 1 : 0;
        nan = static_cast<std::uint8_t>(nan | (p[i] != p[i] ? 1 : 0));
    }
    Decided word{0, 0, nan};
    for (std::size_t i = 0; i < kWord; i += U8::lanes) {
        word.enter |= bits(equal(load(above + i), broadcast(1))) << i;
        word.leave |= bits(equal(load(below + i), broadcast(1))) << i;
    }
    return word;
}

[[gnu::always_inline]] inline void store_bits(bool *on, std::uint64_t state) {
    for (std::size_t i = 0; i < kWord; ++i) {
        on[i] = (state >> i & 1) != 0;
    }
}

#endif

template <typename Real>
std::size_t switch_on(const Real *p, std::size_t n, Real enter, Real exit, bool *on, bool *state) noexcept {
    std::uint64_t carry = *state ? 1 : 0;
    std::size_t t = 0;
    for (; t + kWord <= n; t += kWord) {
        const Decided word = decide(p + t, enter, exit);
        if (word.nan != 0) {
            break;
        }
        // A run of undecided samples is on as a whole when the sample before it is: adding a bit at its start carries
        // through the run.
        const std::uint64_t keep = ~(word.enter | word.leave);
        const std::uint64_t seeds = (word.enter << 1 | carry) & keep;
        const std::uint64_t filled = (((seeds + keep) ^ keep) | seeds) & keep;
        const std::uint64_t states = word.enter | filled;
        carry = states >> (kWord - 1);
        store_bits(on + t, states);
    }
    bool now = carry != 0;
    for (; t < n; ++t) {
        if (p[t] != p[t]) {
            return t;
        }
        now = now ? p[t] >= exit : p[t] >= enter;
        on[t] = now;
    }
    *state = now;
    return n;
}

template <typename Label> constexpr LabelKernels<Label> of_labels() {
    return {&changes<Label>, &change_masks<Label>, &fits_byte<Label>, &narrow<Label>, &widen<Label>};
}

} // namespace

extern const SmoothingKernels smoothing_kernels; // a constant would be private to this file otherwise
const SmoothingKernels smoothing_kernels{
    &windows<MedianOf>,        &windows<ModeOf>,          of_labels<std::uint8_t>(),
    of_labels<std::int8_t>(),  of_labels<std::int16_t>(), of_labels<std::int32_t>(),
    of_labels<std::int64_t>(), &switch_on<float>,         &switch_on<double>};

} // namespace conv2d::simd::CONV2D_PATH
