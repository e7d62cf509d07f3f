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
inline M64 at_most(F64 a, F64 b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_LE_OQ); } // false for NaN, as are all
inline M64 equal(F64 a, F64 b) { return _mm512_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ); }
inline F64 select(M64 mask, F64 yes, F64 no) { return {_mm512_mask_blend_pd(mask, no.v, yes.v)}; }
inline bool any(M64 mask) { return mask != 0; }
inline unsigned bits(M64 mask) { return mask; } // bit i is lane i

// The largest lane of each of 8 vectors.
inline F64 largest_of(const F64 *a) {
    __m512d pairs[4];
    for (int i = 0; i < 4; ++i) {
        const __m512d x = a[2 * i].v;
        const __m512d y = a[2 * i + 1].v;
        pairs[i] =
            _mm512_maskz_max_pd(0xff, _mm512_maskz_unpacklo_pd(0xff, x, y), _mm512_maskz_unpackhi_pd(0xff, x, y));
    }
    __m512d fours[2]; // (a0 a1 a2 a3) of the low and of the high halves
    for (int i = 0; i < 2; ++i) {
        const __m512d x = pairs[2 * i];
        const __m512d y = pairs[2 * i + 1];
        const __m512d low = _mm512_maskz_shuffle_f64x2(0xff, x, y, _MM_SHUFFLE(2, 0, 2, 0));
        const __m512d high = _mm512_maskz_shuffle_f64x2(0xff, x, y, _MM_SHUFFLE(3, 1, 3, 1));
        fours[i] = _mm512_maskz_max_pd(0xff, low, high);
    }
    const __m512d low = _mm512_maskz_shuffle_f64x2(0xff, fours[0], fours[1], _MM_SHUFFLE(2, 0, 2, 0));
    const __m512d high = _mm512_maskz_shuffle_f64x2(0xff, fours[0], fours[1], _MM_SHUFFLE(3, 1, 3, 1));
    return {_mm512_maskz_max_pd(0xff, low, high)};
}

// Whole numbers 0 .. 255 as bytes.
inline void store_bytes(unsigned char *p, F64 a) {
    const __m128i bytes = _mm256_maskz_cvtepi32_epi8(0xff, _mm512_maskz_cvtpd_epi32(0xff, a.v));
    __builtin_memcpy(p, &bytes, 8);
}

// Rows of 8 become columns.
inline void transpose(F64 *a) {
    __m512d pairs[8];
    for (int i = 0; i < 4; ++i) {
        pairs[2 * i] = _mm512_maskz_unpacklo_pd(0xff, a[2 * i].v, a[2 * i + 1].v);
        pairs[2 * i + 1] = _mm512_maskz_unpackhi_pd(0xff, a[2 * i].v, a[2 * i + 1].v);
    }
    __m512d fours[8];
    for (int i = 0; i < 2; ++i) {
        for (int odd = 0; odd < 2; ++odd) {
            const __m512d x = pairs[4 * i + odd];
            const __m512d y = pairs[4 * i + 2 + odd];
            fours[4 * i + odd] = _mm512_maskz_shuffle_f64x2(0xff, x, y, _MM_SHUFFLE(2, 0, 2, 0));
            fours[4 * i + 2 + odd] = _mm512_maskz_shuffle_f64x2(0xff, x, y, _MM_SHUFFLE(3, 1, 3, 1));
        }
    }
    for (int i = 0; i < 4; ++i) {
        a[i].v = _mm512_maskz_shuffle_f64x2(0xff, fours[i], fours[4 + i], _MM_SHUFFLE(2, 0, 2, 0));
        a[4 + i].v = _mm512_maskz_shuffle_f64x2(0xff, fours[i], fours[4 + i], _MM_SHUFFLE(3, 1, 3, 1));
    }
}

// Half a vector, where it is all there is to fill.
struct F64Half {
    static constexpr std::size_t lanes = 4;
    __m256d v;
};
inline void store(double *p, F64Half a) { _mm256_storeu_pd(p, a.v); }
inline F64Half add(F64Half a, F64Half b) { return {_mm256_add_pd(a.v, b.v)}; }
inline F64Half sub(F64Half a, F64Half b) { return {_mm256_sub_pd(a.v, b.v)}; }
inline F64Half mul(F64Half a, F64Half b) { return {_mm256_mul_pd(a.v, b.v)}; }
inline F64Half fma(F64Half a, F64Half b, F64Half c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
inline F64Half max(F64Half a, F64Half b) { return {_mm256_max_pd(a.v, b.v)}; }
inline F64Half min(F64Half a, F64Half b) { return {_mm256_min_pd(a.v, b.v)}; }
inline M64 greater(F64Half a, F64Half b) { return _mm256_cmp_pd_mask(a.v, b.v, _CMP_GT_OQ); }
inline M64 equal(F64Half a, F64Half b) { return _mm256_cmp_pd_mask(a.v, b.v, _CMP_EQ_OQ); }
inline F64Half select(M64 mask, F64Half yes, F64Half no) { return {_mm256_mask_blend_pd(mask, no.v, yes.v)}; }
inline void store_bytes(unsigned char *p, F64Half a) {
    const __m128i words = _mm256_cvtpd_epi32(a.v);
    const __m128i bytes = _mm_shuffle_epi8(words, _mm_setr_epi8(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    __builtin_memcpy(p, &bytes, 4);
}
inline void transpose(F64Half *a) {
    const __m256d x = _mm256_unpacklo_pd(a[0].v, a[1].v);
    const __m256d y = _mm256_unpackhi_pd(a[0].v, a[1].v);
    const __m256d z = _mm256_unpacklo_pd(a[2].v, a[3].v);
    const __m256d w = _mm256_unpackhi_pd(a[2].v, a[3].v);
    a[0].v = _mm256_permute2f128_pd(x, z, 0x20);
    a[1].v = _mm256_permute2f128_pd(y, w, 0x20);
    a[2].v = _mm256_permute2f128_pd(x, z, 0x31);
    a[3].v = _mm256_permute2f128_pd(y, w, 0x31);
}

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
inline M64 at_most(F64 a, F64 b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_LE_OQ)}; }
inline M64 equal(F64 a, F64 b) { return {_mm256_cmp_pd(a.v, b.v, _CMP_EQ_OQ)}; }
inline F64 select(M64 mask, F64 yes, F64 no) { return {_mm256_blendv_pd(no.v, yes.v, mask.v)}; }
inline unsigned bits(M64 mask) { return static_cast<unsigned>(_mm256_movemask_pd(mask.v)); }
inline bool any(M64 mask) { return bits(mask) != 0; }

// Whole numbers 0 .. 255 as bytes.
inline void store_bytes(unsigned char *p, F64 a) {
    const __m128i words = _mm256_cvtpd_epi32(a.v);
    const __m128i bytes = _mm_shuffle_epi8(words, _mm_setr_epi8(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0));
    __builtin_memcpy(p, &bytes, 4);
}

// Rows of 4 become columns.
inline void transpose(F64 *a) {
    const __m256d x = _mm256_unpacklo_pd(a[0].v, a[1].v);
    const __m256d y = _mm256_unpackhi_pd(a[0].v, a[1].v);
    const __m256d z = _mm256_unpacklo_pd(a[2].v, a[3].v);
    const __m256d w = _mm256_unpackhi_pd(a[2].v, a[3].v);
    a[0].v = _mm256_permute2f128_pd(x, z, 0x20);
    a[1].v = _mm256_permute2f128_pd(y, w, 0x20);
    a[2].v = _mm256_permute2f128_pd(x, z, 0x31);
    a[3].v = _mm256_permute2f128_pd(y, w, 0x31);
}

// The largest lane of each of 4 vectors.
inline F64 largest_of(const F64 *a) {
    const __m256d x = _mm256_max_pd(_mm256_unpacklo_pd(a[0].v, a[1].v), _mm256_unpackhi_pd(a[0].v, a[1].v));
    const __m256d y = _mm256_max_pd(_mm256_unpacklo_pd(a[2].v, a[3].v), _mm256_unpackhi_pd(a[2].v, a[3].v));
    return {_mm256_max_pd(_mm256_permute2f128_pd(x, y, 0x20), _mm256_permute2f128_pd(x, y, 0x31))};
}

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
inline M64 at_most(F64 a, F64 b) { return {vcleq_f64(a.v, b.v)}; }
inline M64 equal(F64 a, F64 b) { return {vceqq_f64(a.v, b.v)}; }
inline F64 select(M64 mask, F64 yes, F64 no) { return {vbslq_f64(mask.v, yes.v, no.v)}; }
inline unsigned bits(M64 mask) {
    return static_cast<unsigned>((vgetq_lane_u64(mask.v, 0) & 1u) | (vgetq_lane_u64(mask.v, 1) & 2u));
}
inline bool any(M64 mask) { return bits(mask) != 0; }

// Whole numbers 0 .. 255 as bytes.
inline void store_bytes(unsigned char *p, F64 a) {
    p[0] = static_cast<unsigned char>(vgetq_lane_f64(a.v, 0));
    p[1] = static_cast<unsigned char>(vgetq_lane_f64(a.v, 1));
}

// Rows of 2 become columns.
inline void transpose(F64 *a) {
    const float64x2_t x = a[0].v;
    a[0].v = vzip1q_f64(x, a[1].v);
    a[1].v = vzip2q_f64(x, a[1].v);
}

// The largest lane of each of 2 vectors.
inline F64 largest_of(const F64 *a) { return {vpmaxq_f64(a[0].v, a[1].v)}; }

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
inline M64 at_most(F64 a, F64 b) { return {a.v <= b.v}; }
inline M64 equal(F64 a, F64 b) { return {a.v == b.v}; }
inline F64 select(M64 mask, F64 yes, F64 no) { return mask.v ? yes : no; }
inline unsigned bits(M64 mask) { return mask.v ? 1u : 0u; }
inline bool any(M64 mask) { return mask.v; }
inline F64 largest_of(const F64 *a) { return *a; }
inline void store_bytes(unsigned char *p, F64 a) { *p = static_cast<unsigned char>(a.v); }
inline void transpose(F64 *) {}

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
