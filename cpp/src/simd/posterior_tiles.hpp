// What the passes and the posteriors of forward-backward share: sums over tiles of 64 segments between two blocks.
#pragma once

#include "posterior_kernels.hpp"
#include "posterior_steps.hpp"

namespace conv2d::simd::CONV2D_PATH {
namespace {

constexpr std::size_t kRows = kBlockRows;
constexpr std::size_t kLanes = F64::lanes;
constexpr double kDead = -1e250;    // exponents below it belong to zeros
constexpr double kTrusted = 0x1p84; // of 2^300: what is lost stays 64 bits and more below such a sum

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

#if CONV2D_PATH_IS_AVX512
inline __m256d low_half(F64 a) { return __builtin_shufflevector(a.v, a.v, 0, 1, 2, 3); }
inline F64 with_zeros(__m256d low) {
    return {__builtin_shufflevector(low, _mm256_setzero_pd(), 0, 1, 2, 3, 4, 5, 6, 7)};
}

// add_tile where the upper half of the vector has no states: half the work on machines with 256-bit units.
inline void add_half_tile(F64 *sums, const double *sources, F64 factor, const double *durations, std::size_t width) {
    __m256d low[kRows], window[kRows];
    const __m256d scale = low_half(factor);
    for (std::size_t r = 0; r < kRows; ++r) {
        low[r] = low_half(sums[r]);
        window[r] = _mm256_loadu_pd(durations + (r + 7) * width);
    }
#pragma GCC unroll 8
    for (std::size_t q = 0; q < kRows; ++q) {
        const __m256d source = _mm256_mul_pd(_mm256_loadu_pd(sources + q * width), scale);
#pragma GCC unroll 8
        for (std::size_t r = 0; r < kRows; ++r) {
            low[r] = _mm256_fmadd_pd(source, window[r], low[r]);
        }
        if (q + 1 < kRows) {
#pragma GCC unroll 8
            for (std::size_t r = kRows - 1; r > 0; --r) {
                window[r] = window[r - 1];
            }
            window[0] = _mm256_loadu_pd(durations + (6 - q) * width);
        }
    }
    for (std::size_t r = 0; r < kRows; ++r) {
        sums[r] = with_zeros(low[r]);
    }
}
#endif

inline void add_states_tile(F64 *sums, const double *sources, F64 factor, const double *durations, std::size_t width,
                            [[maybe_unused]] std::size_t states) {
#if CONV2D_PATH_IS_AVX512
    if (states <= kLanes / 2) {
        add_half_tile(sums, sources, factor, durations, width);
        return;
    }
#endif
    add_tile(sums, sources, factor, durations, width);
}

} // namespace
} // namespace conv2d::simd::CONV2D_PATH
