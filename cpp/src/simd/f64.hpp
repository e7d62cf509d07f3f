// Vectors of doubles, one type for every path: F64 holds F64::lanes values. Nothing rounds differently between paths:
// fma is fused everywhere, and sums are only ever taken lane by lane.
#pragma once

#include <cstddef>

#if CONV2D_PATH_IS_AVX512 || CONV2D_PATH_IS_AVX2
#include <immintrin.h>
#elif CONV2D_PATH_IS_NEON
#include <arm_neon.h>
#endif

namespace conv2d::simd::CONV2D_PATH {
namespace {

#if CONV2D_PATH_IS_AVX512

struct F64 {
    static constexpr std::size_t lanes = 8;
    __m512d v;
};
using M64 = __mmask8;
inline F64 load(const double *p) { return {_mm512_loadu_pd(p)}; }
inline void store(double *p, F64 a) { _mm512_storeu_pd(p, a.v); }
inline F64 broadcast(double x) { return {_mm512_set1_pd(x)}; }
inline F64 add(F64 a, F64 b) { return {_mm512_add_pd(a.v, b.v)}; }
inline F64 sub(F64 a, F64 b) { return {_mm512_sub_pd(a.v, b.v)}; }
inline F64 mul(F64 a, F64 b) { return {_mm512_mul_pd(a.v, b.v)}; }
inline F64 div(F64 a, F64 b) { return {_mm512_div_pd(a.v, b.v)}; }
inline F64 fma(F64 a, F64 b, F64 c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; } // a * b + c, rounded once
// The forms without a mask start from an undefined vector, which GCC 12 takes for a mistake of ours.
inline F64 max(F64 a, F64 b) { return {_mm512_maskz_max_pd(0xff, a.v, b.v)}; }
inline F64 min(F64 a, F64 b) { return {_mm512_maskz_min_pd(0xff, a.v, b.v)}; }
inline M64 greater(F64 a, F64 b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_GT_OQ); }
inline M64 equal(F64 a, F64 b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ); }
inline F64 select(M64 mask, F64 yes, F64 no) { return {_mm512_mask_blend_pd(mask, no.v, yes.v)}; }
inline bool any(M64 mask) { return mask != 0; }
inline unsigned bits(M64 mask) { return mask; } // bit i is lane i

// Half a vector, where it is all there is to fill.
struct F64Half {
    static constexpr std::size_t lanes = 4;
    __m256d v;
};
inline void store(double *p, F64Half a) { _mm256_storeu_pd(p, a.v); }
inline F64Half add(F64Half a, F64Half b) { return {_mm256_add_pd(a.v, b.v)}; }
inline F64Half sub(F64Half a, F64Half b) { return {_mm256_sub_pd(a.v, b.v)}; }
inline F64Half fma(F64Half a, F64Half b, F64Half c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
inline F64Half max(F64Half a, F64Half b) { return {_mm256_max_pd(a.v, b.v)}; }
inline F64Half min(F64Half a, F64Half b) { return {_mm256_min_pd(a.v, b.v)}; }
inline M64 greater(F64Half a, F64Half b) { return _mm256_cmp_pd_mask(a.v, b.v, _CMP_GT_OQ); }
inline M64 equal(F64Half a, F64Half b) { return _mm256_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ); }
inline F64Half select(M64 mask, F64Half yes, F64Half no) { return {_mm256_mask_blend_pd(mask, no.v, yes.v)}; }

#elif CONV2D_PATH_IS_AVX2

struct F64 {
    static constexpr std::size_t lanes = 4;
    __m256d v;
};
struct M64 {
    __m256d v;
};
inline F64 load(const double *p) { return {_mm256_loadu_pd(p)}; }
inline void store(double *p, F64 a) { _mm256_storeu_pd(p, a.v); }
inline F64 broadcast(double x) { return {_mm256_set1_pd(x)}; }
inline F64 add(F64 a, F64 b) { return {_mm256_add_pd(a.v, b.v)}; }
inline F64 sub(F64 a, F64 b) { return {_mm256_sub_pd(a.v, b.v)}; }
inline F64 mul(F64 a, F64 b) { return {_mm256_mul_pd(a.v, b.v)}; }
inline F64 div(F64 a, F64 b) { return {_mm256_div_pd(a.v, b.v)}; }
inline F64 fma(F64 a, F64 b, F64 c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
inline F64 max(F64 a, F64 b) { return {_mm256_max_pd(a.v, b.v)}; }
inline F64 min(F64 a, F64 b) { return {_mm256_min_pd(a.v, b.v)}; }
inline M64 greater(F64 a, F64 b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_GT_OQ)}; }
inline M64 equal(F64 a, F64 b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_EQ_OQ)}; }
inline F64 select(M64 mask, F64 yes, F64 no) { return {_mm256_blendv_pd(no.v, yes.v, mask.v)}; }
inline unsigned bits(M64 mask) { return static_cast<unsigned>(_mm256_movemask_pd(mask.v)); }
inline bool any(M64 mask) { return bits(mask) != 0; }

#elif CONV2D_PATH_IS_NEON

struct F64 {
    static constexpr std::size_t lanes = 2;
    float64x2_t v;
};
struct M64 {
    uint64x2_t v;
};
inline F64 load(const double *p) { return {vld1q_f64(p)}; }
inline void store(double *p, F64 a) { vst1q_f64(p, a.v); }
inline F64 broadcast(double x) { return {vdupq_n_f64(x)}; }
inline F64 add(F64 a, F64 b) { return {vaddq_f64(a.v, b.v)}; }
inline F64 sub(F64 a, F64 b) { return {vsubq_f64(a.v, b.v)}; }
inline F64 mul(F64 a, F64 b) { return {vmulq_f64(a.v, b.v)}; }
inline F64 div(F64 a, F64 b) { return {vdivq_f64(a.v, b.v)}; }
inline F64 fma(F64 a, F64 b, F64 c) { return {vfmaq_f64(c.v, a.v, b.v)}; }
inline F64 max(F64 a, F64 b) { return {vmaxq_f64(a.v, b.v)}; }
inline F64 min(F64 a, F64 b) { return {vminq_f64(a.v, b.v)}; }
inline M64 greater(F64 a, F64 b) { return {vcgtq_f64(a.v, b.v)}; }
inline M64 equal(F64 a, F64 b) { return {vceqq_f64(a.v, b.v)}; }
inline F64 select(M64 mask, F64 yes, F64 no) { return {vbslq_f64(mask.v, yes.v, no.v)}; }
inline unsigned bits(M64 mask) {
    return static_cast<unsigned>((vgetq_lane_u64(mask.v, 0) & 1u) | (vgetq_lane_u64(mask.v, 1) & 2u));
}
inline bool any(M64 mask) { return bits(mask) != 0; }

#else // scalar

struct F64 {
    static constexpr std::size_t lanes = 1;
    double v;
};
struct M64 {
    bool v;
};
inline F64 load(const double *p) { return {*p}; }
inline void store(double *p, F64 a) { *p = a.v; }
inline F64 broadcast(double x) { return {x}; }
inline F64 add(F64 a, F64 b) { return {a.v + b.v}; }
inline F64 sub(F64 a, F64 b) { return {a.v - b.v}; }
inline F64 mul(F64 a, F64 b) { return {a.v * b.v}; }
inline F64 div(F64 a, F64 b) { return {a.v / b.v}; }
inline F64 fma(F64 a, F64 b, F64 c) { return {__builtin_fma(a.v, b.v, c.v)}; }
inline F64 max(F64 a, F64 b) { return {a.v > b.v ? a.v : b.v}; }
inline F64 min(F64 a, F64 b) { return {a.v < b.v ? a.v : b.v}; }
inline M64 greater(F64 a, F64 b) { return {a.v > b.v}; }
inline M64 equal(F64 a, F64 b) { return {a.v == b.v}; }
inline F64 select(M64 mask, F64 yes, F64 no) { return mask.v ? yes : no; }
inline unsigned bits(M64 mask) { return mask.v ? 1u : 0u; }
inline bool any(M64 mask) { return mask.v; }

#endif

#if CONV2D_PATH_IS_AVX512
template <typename Vector> inline Vector load_as(const double *p) {
    if constexpr (Vector::lanes == F64::lanes) {
        return load(p);
    } else {
        return {_mm256_loadu_pd(p)};
    }
}
template <typename Vector> inline Vector broadcast_as(double x) {
    if constexpr (Vector::lanes == F64::lanes) {
        return broadcast(x);
    } else {
        return {_mm256_set1_pd(x)};
    }
}
#else
using F64Half = F64;
template <typename Vector> inline Vector load_as(const double *p) { return load(p); }
template <typename Vector> inline Vector broadcast_as(double x) { return broadcast(x); }
#endif

} // namespace
} // namespace conv2d::simd::CONV2D_PATH
