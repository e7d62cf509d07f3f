// Powers of two, mantissas and exponents, and exp, on F64: the same bits on every path, as all of it is built from
// operations that round once. Exponents are whole numbers held in doubles.
#pragma once

#include "f64.hpp"

#include <cstdint>

namespace conv2d::simd::CONV2D_PATH {
namespace {

#if CONV2D_PATH_IS_AVX512 // maskz: GCC 12 warns of the undefined operand in the plain intrinsics

inline F64 shift_left_52(F64 a) {
    return {_mm512_castsi512_pd(_mm512_maskz_slli_epi64(0xff, _mm512_castpd_si512(a.v), 52))};
}
inline F64 shift_right_52(F64 a) {
    return {_mm512_castsi512_pd(_mm512_maskz_srli_epi64(0xff, _mm512_castpd_si512(a.v), 52))};
}
inline F64 bits_and(F64 a, F64 b) {
    return {_mm512_and_pd(a.v, b.v)};
}
inline F64 bits_or(F64 a, F64 b) {
    return {_mm512_or_pd(a.v, b.v)};
}
inline double largest_lane(F64 a) {
    F64 b = {_mm512_maskz_permutex_pd(0xff, a.v, 0b01001110)};
    b = max(a, b);
    b = max(b, {_mm512_maskz_permutex_pd(0xff, b.v, 0b10110001)});
    return _mm512_cvtsd_f64(max(b, {_mm512_maskz_shuffle_f64x2(0xff, b.v, b.v, 0b01001110)}).v);
}

#elif CONV2D_PATH_IS_AVX2

inline F64 shift_left_52(F64 a) {
    return {_mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(a.v), 52))};
}
inline F64 shift_right_52(F64 a) {
    return {_mm256_castsi256_pd(_mm256_srli_epi64(_mm256_castpd_si256(a.v), 52))};
}
inline F64 bits_and(F64 a, F64 b) { return {_mm256_and_pd(a.v, b.v)}; }
inline F64 bits_or(F64 a, F64 b) { return {_mm256_or_pd(a.v, b.v)}; }
inline double largest_lane(F64 a) {
    const __m128d pairs = _mm_max_pd(_mm256_castpd256_pd128(a.v), _mm256_extractf128_pd(a.v, 1));
    return _mm_cvtsd_f64(_mm_max_sd(pairs, _mm_unpackhi_pd(pairs, pairs)));
}

#elif CONV2D_PATH_IS_NEON

inline F64 shift_left_52(F64 a) { return {vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(a.v), 52))}; }
inline F64 shift_right_52(F64 a) { return {vreinterpretq_f64_u64(vshrq_n_u64(vreinterpretq_u64_f64(a.v), 52))}; }
inline F64 bits_and(F64 a, F64 b) {
    return {vreinterpretq_f64_u64(vandq_u64(vreinterpretq_u64_f64(a.v), vreinterpretq_u64_f64(b.v)))};
}
inline F64 bits_or(F64 a, F64 b) {
    return {vreinterpretq_f64_u64(vorrq_u64(vreinterpretq_u64_f64(a.v), vreinterpretq_u64_f64(b.v)))};
}
inline double largest_lane(F64 a) { return vmaxvq_f64(a.v); }

#else // scalar

inline std::uint64_t word(F64 a) { return __builtin_bit_cast(std::uint64_t, a.v); }
inline F64 shift_left_52(F64 a) { return {__builtin_bit_cast(double, word(a) << 52)}; }
inline F64 shift_right_52(F64 a) { return {__builtin_bit_cast(double, word(a) >> 52)}; }
inline F64 bits_and(F64 a, F64 b) { return {__builtin_bit_cast(double, word(a) & word(b))}; }
inline F64 bits_or(F64 a, F64 b) { return {__builtin_bit_cast(double, word(a) | word(b))}; }
inline double largest_lane(F64 a) { return a.v; }

#endif

// The exponent of zero. Finite, so that differences of two of them are no NaN; sums of many stay finite.
constexpr double kNoExponent = -1e300;

// 2^e for whole e; below 2^-1022 it is 2^-1022 and above 2^1023 that: callers tell those cases apart before.
inline F64 power_of_two(F64 e) {
    const F64 within = min(max(e, broadcast(-1022.0)), broadcast(1023.0));
    return shift_left_52(add(within, broadcast(0x1p52 + 1023.0))); // the low bits of the sum are 1023 + e
}

// v = mantissa * 2^exponent with a mantissa in [1, 2), for v >= 0; below the normal numbers 0 and kNoExponent.
struct Scaled {
    F64 mantissa, exponent;
};
inline Scaled split(F64 v) {
    const F64 biased = bits_or(shift_right_52(v), broadcast(0x1p52));
    const F64 exponent = sub(biased, broadcast(0x1p52 + 1023.0));
    const F64 fraction = bits_and(v, broadcast(__builtin_bit_cast(double, std::uint64_t{0x000fffffffffffff})));
    const F64 mantissa = bits_or(fraction, broadcast(1.0));
    const M64 normal = greater(exponent, broadcast(-1022.5));
    return {select(normal, mantissa, broadcast(0.0)), select(normal, exponent, broadcast(kNoExponent))};
}

// exp(x) = mantissa * 2^exponent with a mantissa in [0.7, 1.5), for |x| < 2^50; 0 and kNoExponent for x = -inf.
// Remainder of Cody and Waite, Taylor series of degree 13 on |r| <= 0.35: error below 1 ulp.
inline Scaled exp_scaled(F64 x) {
    const M64 possible = greater(x, broadcast(-0x1p60));
    const F64 safe = select(possible, x, broadcast(0.0));
    const F64 magic = broadcast(0x1.8p52);
    const F64 e = sub(add(mul(safe, broadcast(0x1.71547652b82fep+0)), magic), magic);
    F64 r = fma(e, broadcast(-0x1.62e42fefa39efp-1), safe);
    r = fma(e, broadcast(-0x1.abc9e3b39803fp-56), r);
    constexpr double kInverseFactorials[] = {1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0,
                                             1.0 / 362880.0,     1.0 / 40320.0,     1.0 / 5040.0,     1.0 / 720.0,
                                             1.0 / 120.0,        1.0 / 24.0,        1.0 / 6.0,        0.5,
                                             1.0,                1.0};
    F64 sum = broadcast(kInverseFactorials[0]);
    for (std::size_t i = 1; i < 14; ++i) {
        sum = fma(sum, r, broadcast(kInverseFactorials[i]));
    }
    return {select(possible, sum, broadcast(0.0)), select(possible, e, broadcast(kNoExponent))};
}

} // namespace
} // namespace conv2d::simd::CONV2D_PATH
