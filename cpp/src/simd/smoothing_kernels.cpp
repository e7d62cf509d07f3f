#include "smoothing_kernels.hpp"

#include "decide.hpp"
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

template <std::size_t I, std::size_t J, std::size_t... More> [[gnu::always_inline]] inline void order_all(U8 *v) {
    order(v[I], v[J]);
    if constexpr (sizeof...(More) > 0) {
        order_all<More...>(v);
    }
}

// Sorts v[0 .. N-1] by the shortest known networks (Knuth, The Art of Computer Programming 3, 5.3.4).
template <std::size_t N> [[gnu::always_inline]] inline void sort(U8 *v) {
    static_assert(N <= 8);
    if constexpr (N == 2) {
        order_all<0, 1>(v);
    } else if constexpr (N == 3) {
        order_all<0, 2, 0, 1, 1, 2>(v);
    } else if constexpr (N == 4) {
        order_all<0, 2, 1, 3, 0, 1, 2, 3, 1, 2>(v);
    } else if constexpr (N == 5) {
        order_all<0, 3, 1, 4, 0, 2, 1, 3, 0, 1, 2, 4, 1, 2, 3, 4, 2, 3>(v);
    } else if constexpr (N == 6) {
        order_all<0, 5, 1, 3, 2, 4, 1, 2, 3, 4, 0, 3, 2, 5, 0, 1, 2, 3, 4, 5, 1, 2, 3, 4>(v);
    } else if constexpr (N == 7) {
        order_all<0, 6, 2, 3, 4, 5, 0, 2, 1, 4, 3, 6, 0, 1, 2, 5, 3, 4, 1, 2, 4, 6, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6>(v);
    } else if constexpr (N == 8) {
        order_all<0, 2, 1, 3, 4, 6, 5, 7, 0, 4, 1, 5, 2, 6, 3, 7, 0, 1, 2, 3, 4, 5, 6, 7, 2, 4, 3, 5, 1, 4, 3, 6, 1, 2,
                  3, 4, 5, 6>(v);
    }
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

// At least as many samples as there are lanes.
template <typename Statistic, std::size_t W>
void window(const std::uint8_t *from, std::size_t n, std::uint8_t *to) noexcept {
    const std::uint8_t *first = from - W / 2;
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
    if (n < U8::lanes) {
        std::uint8_t padded[U8::lanes + kShortWindow] = {};
        std::uint8_t whole[U8::lanes];
        std::memcpy(padded, from - width / 2, n + width - 1);
        windows<Statistic>(padded + width / 2, U8::lanes, width, whole);
        std::memcpy(to, whole, n);
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
