// Vectors of floats, and of int32 beside them, one type for every path: F32 holds F32::lanes values. Nothing rounds
// differently between paths: fma is fused everywhere.
#pragma once

#include <cstddef>
#include <cstdint>

#if CONV2D_PATH_IS_AVX512 || CONV2D_PATH_IS_AVX2
#include <immintrin.h>
#elif CONV2D_PATH_IS_NEON
#include <arm_neon.h>
#endif

namespace conv2d::simd::CONV2D_PATH {
namespace {

// What each path has to offer:
//   load_rows       4 neighbouring columns of F32::lanes rows that lie `stride` floats apart, one register a column
//   store_rows      the way back
//   at_or_above     a >= b; false with NaN
//   add_where       acc + step in the lanes of the mask
//   lesser          b < a ? b : a, so that a NaN in b is passed over
//   within          a with its magnitude cut to the bound; any value for NaN
//   lookup          table[index] in each lane; kSmallTable entries must be readable when there are no more than that

#if CONV2D_PATH_IS_AVX512

struct F32 {
    static constexpr std::size_t lanes = 16;
    __m512 v;
};
struct I32 {
    __m512i v;
};
using M32 = __mmask16;
inline constexpr std::size_t kSmallTable = 32;
inline F32 load(const float *p) { return {_mm512_loadu_ps(p)}; }
inline void store(float *p, F32 a) { _mm512_storeu_ps(p, a.v); }
inline void store(std::int32_t *p, I32 a) { _mm512_storeu_si512(p, a.v); }
inline F32 broadcast(float x) { return {_mm512_set1_ps(x)}; }
inline I32 broadcast(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
inline F32 sub(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F32 lesser(F32 a, F32 b) { return {_mm512_min_ps(b.v, a.v)}; }
inline F32 within(F32 a, F32 bound) { return {_mm512_range_ps(a.v, bound.v, 2)}; }
inline M32 at_or_above(F32 a, F32 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GE_OQ); }
inline bool any_nan(F32 a, F32 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_UNORD_Q) != 0; }
inline I32 bits_of(F32 a) { return {_mm512_castps_si512(a.v)}; }
inline I32 and_(I32 a, I32 b) { return {_mm512_and_si512(a.v, b.v)}; }
inline I32 add(I32 a, I32 b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline I32 mul(I32 a, I32 b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
inline I32 add_where(M32 mask, I32 acc, I32 step) { return {_mm512_mask_add_epi32(acc.v, mask, acc.v, step.v)}; }
inline F32 lookup(const float *table, std::size_t entries, I32 index) {
    if (entries <= kSmallTable) {
        return {_mm512_permutex2var_ps(_mm512_loadu_ps(table), index.v, _mm512_loadu_ps(table + 16))};
    }
    return {_mm512_i32gather_ps(index.v, table, 4)};
}
inline I32 lookup(const std::int32_t *table, std::size_t entries, I32 index) {
    if (entries <= kSmallTable) {
        return {_mm512_permutex2var_epi32(_mm512_loadu_si512(table), index.v, _mm512_loadu_si512(table + 16))};
    }
    return {_mm512_i32gather_epi32(index.v, table, 4)};
}
// Transposes each block of 4 x 4; the same steps lead back.
inline void transpose(F32 (&x)[4]) {
    const __m512 low01 = _mm512_unpacklo_ps(x[0].v, x[1].v);
    const __m512 high01 = _mm512_unpackhi_ps(x[0].v, x[1].v);
    const __m512 low23 = _mm512_unpacklo_ps(x[2].v, x[3].v);
    const __m512 high23 = _mm512_unpackhi_ps(x[2].v, x[3].v);
    x[0].v = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(low01), _mm512_castps_pd(low23)));
    x[1].v = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(low01), _mm512_castps_pd(low23)));
    x[2].v = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(high01), _mm512_castps_pd(high23)));
    x[3].v = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(high01), _mm512_castps_pd(high23)));
}
inline void load_rows(const float *z, std::size_t stride, F32 (&x)[4]) {
    for (std::size_t i = 0; i < 4; ++i) {
        const float *const row = z + i * stride;
        __m512 four = _mm512_castps128_ps512(_mm_loadu_ps(row));
        four = _mm512_insertf32x4(four, _mm_loadu_ps(row + 4 * stride), 1);
        four = _mm512_insertf32x4(four, _mm_loadu_ps(row + 8 * stride), 2);
        x[i].v = _mm512_insertf32x4(four, _mm_loadu_ps(row + 12 * stride), 3);
    }
    transpose(x);
}
inline void store_rows(float *z, std::size_t stride, F32 (&x)[4]) {
    transpose(x);
    for (std::size_t i = 0; i < 4; ++i) {
        float *const row = z + i * stride;
        _mm_storeu_ps(row, _mm512_castps512_ps128(x[i].v));
        _mm_storeu_ps(row + 4 * stride, _mm512_extractf32x4_ps(x[i].v, 1));
        _mm_storeu_ps(row + 8 * stride, _mm512_extractf32x4_ps(x[i].v, 2));
        _mm_storeu_ps(row + 12 * stride, _mm512_extractf32x4_ps(x[i].v, 3));
    }
}

#elif CONV2D_PATH_IS_AVX2

struct F32 {
    static constexpr std::size_t lanes = 8;
    __m256 v;
};
struct I32 {
    __m256i v;
};
struct M32 {
    __m256 v;
};
inline constexpr std::size_t kSmallTable = 8;
inline F32 load(const float *p) { return {_mm256_loadu_ps(p)}; }
inline void store(float *p, F32 a) { _mm256_storeu_ps(p, a.v); }
inline void store(std::int32_t *p, I32 a) { _mm256_storeu_si256(reinterpret_cast<__m256i *>(p), a.v); }
inline F32 broadcast(float x) { return {_mm256_set1_ps(x)}; }
inline I32 broadcast(std::int32_t x) { return {_mm256_set1_epi32(x)}; }
inline F32 sub(F32 a, F32 b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline F32 lesser(F32 a, F32 b) { return {_mm256_min_ps(b.v, a.v)}; }
inline F32 within(F32 a, F32 bound) {
    const __m256 below = _mm256_min_ps(a.v, bound.v);
    return {_mm256_max_ps(below, _mm256_xor_ps(bound.v, _mm256_set1_ps(-0.0f)))};
}
inline M32 at_or_above(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GE_OQ)}; }
inline bool any_nan(F32 a, F32 b) { return _mm256_movemask_ps(_mm256_cmp_ps(a.v, b.v, _CMP_UNORD_Q)) != 0; }
inline I32 bits_of(F32 a) { return {_mm256_castps_si256(a.v)}; }
inline I32 and_(I32 a, I32 b) { return {_mm256_and_si256(a.v, b.v)}; }
inline I32 add(I32 a, I32 b) { return {_mm256_add_epi32(a.v, b.v)}; }
inline I32 mul(I32 a, I32 b) { return {_mm256_mullo_epi32(a.v, b.v)}; }
inline I32 add_where(M32 mask, I32 acc, I32 step) {
    return {_mm256_add_epi32(acc.v, _mm256_and_si256(_mm256_castps_si256(mask.v), step.v))};
}
inline F32 lookup(const float *table, std::size_t entries, I32 index) {
    if (entries <= kSmallTable) {
        return {_mm256_permutevar8x32_ps(_mm256_loadu_ps(table), index.v)};
    }
    return {_mm256_i32gather_ps(table, index.v, 4)};
}
inline I32 lookup(const std::int32_t *table, std::size_t, I32 index) {
    return {_mm256_i32gather_epi32(table, index.v, 4)};
}
inline void transpose(F32 (&x)[4]) {
    const __m256 low01 = _mm256_unpacklo_ps(x[0].v, x[1].v);
    const __m256 high01 = _mm256_unpackhi_ps(x[0].v, x[1].v);
    const __m256 low23 = _mm256_unpacklo_ps(x[2].v, x[3].v);
    const __m256 high23 = _mm256_unpackhi_ps(x[2].v, x[3].v);
    x[0].v = _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(low01), _mm256_castps_pd(low23)));
    x[1].v = _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(low01), _mm256_castps_pd(low23)));
    x[2].v = _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(high01), _mm256_castps_pd(high23)));
    x[3].v = _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(high01), _mm256_castps_pd(high23)));
}
inline void load_rows(const float *z, std::size_t stride, F32 (&x)[4]) {
    for (std::size_t i = 0; i < 4; ++i) {
        const float *const row = z + i * stride;
        x[i].v = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row)), _mm_loadu_ps(row + 4 * stride), 1);
    }
    transpose(x);
}
inline void store_rows(float *z, std::size_t stride, F32 (&x)[4]) {
    transpose(x);
    for (std::size_t i = 0; i < 4; ++i) {
        float *const row = z + i * stride;
        _mm_storeu_ps(row, _mm256_castps256_ps128(x[i].v));
        _mm_storeu_ps(row + 4 * stride, _mm256_extractf128_ps(x[i].v, 1));
    }
}

#elif CONV2D_PATH_IS_NEON

struct F32 {
    static constexpr std::size_t lanes = 4;
    float32x4_t v;
};
struct I32 {
    int32x4_t v;
};
struct M32 {
    uint32x4_t v;
};
inline constexpr std::size_t kSmallTable = 8;
inline F32 load(const float *p) { return {vld1q_f32(p)}; }
inline void store(float *p, F32 a) { vst1q_f32(p, a.v); }
inline void store(std::int32_t *p, I32 a) { vst1q_s32(p, a.v); }
inline F32 broadcast(float x) { return {vdupq_n_f32(x)}; }
inline I32 broadcast(std::int32_t x) { return {vdupq_n_s32(x)}; }
inline F32 sub(F32 a, F32 b) { return {vsubq_f32(a.v, b.v)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
inline F32 lesser(F32 a, F32 b) { return {vbslq_f32(vcltq_f32(b.v, a.v), b.v, a.v)}; }
inline F32 within(F32 a, F32 bound) { return {vmaxnmq_f32(vminnmq_f32(a.v, bound.v), vnegq_f32(bound.v))}; }
inline M32 at_or_above(F32 a, F32 b) { return {vcgeq_f32(a.v, b.v)}; }
inline bool any_nan(F32 a, F32 b) { return vminvq_u32(vandq_u32(vceqq_f32(a.v, a.v), vceqq_f32(b.v, b.v))) == 0; }
inline I32 bits_of(F32 a) { return {vreinterpretq_s32_f32(a.v)}; }
inline I32 and_(I32 a, I32 b) { return {vandq_s32(a.v, b.v)}; }
inline I32 add(I32 a, I32 b) { return {vaddq_s32(a.v, b.v)}; }
inline I32 mul(I32 a, I32 b) { return {vmulq_s32(a.v, b.v)}; }
inline I32 add_where(M32 mask, I32 acc, I32 step) {
    return {vaddq_s32(acc.v, vandq_s32(vreinterpretq_s32_u32(mask.v), step.v))};
}
inline F32 lookup(const float *table, std::size_t entries, I32 index) {
    if (entries <= kSmallTable) { // by bytes: entry i stands in the bytes 4 i .. 4 i + 3
        const int32x4_t bytes = vmlaq_n_s32(vdupq_n_s32(0x03020100), index.v, 0x04040404);
        const auto *const p = reinterpret_cast<const std::uint8_t *>(table);
        const uint8x16x2_t all = {{vld1q_u8(p), vld1q_u8(p + 16)}};
        return {vreinterpretq_f32_u8(vqtbl2q_u8(all, vreinterpretq_u8_s32(bytes)))};
    }
    float32x4_t out = vdupq_n_f32(table[vgetq_lane_s32(index.v, 0)]);
    out = vsetq_lane_f32(table[vgetq_lane_s32(index.v, 1)], out, 1);
    out = vsetq_lane_f32(table[vgetq_lane_s32(index.v, 2)], out, 2);
    return {vsetq_lane_f32(table[vgetq_lane_s32(index.v, 3)], out, 3)};
}
inline I32 lookup(const std::int32_t *table, std::size_t, I32 index) {
    int32x4_t out = vdupq_n_s32(table[vgetq_lane_s32(index.v, 0)]);
    out = vsetq_lane_s32(table[vgetq_lane_s32(index.v, 1)], out, 1);
    out = vsetq_lane_s32(table[vgetq_lane_s32(index.v, 2)], out, 2);
    return {vsetq_lane_s32(table[vgetq_lane_s32(index.v, 3)], out, 3)};
}
inline void transpose(F32 (&x)[4]) {
    const float32x4x2_t even = vtrnq_f32(x[0].v, x[1].v);
    const float32x4x2_t odd = vtrnq_f32(x[2].v, x[3].v);
    x[0].v = vcombine_f32(vget_low_f32(even.val[0]), vget_low_f32(odd.val[0]));
    x[1].v = vcombine_f32(vget_low_f32(even.val[1]), vget_low_f32(odd.val[1]));
    x[2].v = vcombine_f32(vget_high_f32(even.val[0]), vget_high_f32(odd.val[0]));
    x[3].v = vcombine_f32(vget_high_f32(even.val[1]), vget_high_f32(odd.val[1]));
}
inline void load_rows(const float *z, std::size_t stride, F32 (&x)[4]) {
    for (std::size_t i = 0; i < 4; ++i) {
        x[i] = load(z + i * stride);
    }
    transpose(x);
}
inline void store_rows(float *z, std::size_t stride, F32 (&x)[4]) {
    transpose(x);
    for (std::size_t i = 0; i < 4; ++i) {
        store(z + i * stride, x[i]);
    }
}

#else // scalar

struct F32 {
    static constexpr std::size_t lanes = 1;
    float v;
};
struct I32 {
    std::int32_t v;
};
struct M32 {
    bool v;
};
inline constexpr std::size_t kSmallTable = 0;
inline F32 load(const float *p) { return {*p}; }
inline void store(float *p, F32 a) { *p = a.v; }
inline void store(std::int32_t *p, I32 a) { *p = a.v; }
inline F32 broadcast(float x) { return {x}; }
inline I32 broadcast(std::int32_t x) { return {x}; }
inline F32 sub(F32 a, F32 b) { return {a.v - b.v}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {__builtin_fmaf(a.v, b.v, c.v)}; }
inline F32 lesser(F32 a, F32 b) { return {b.v < a.v ? b.v : a.v}; }
inline F32 within(F32 a, F32 bound) {
    const float below = a.v < bound.v ? a.v : bound.v;
    return {below > -bound.v ? below : -bound.v};
}
inline M32 at_or_above(F32 a, F32 b) { return {a.v >= b.v}; }
inline bool any_nan(F32 a, F32 b) { return __builtin_isunordered(a.v, b.v); }
inline I32 bits_of(F32 a) {
    I32 bits;
    __builtin_memcpy(&bits.v, &a.v, sizeof(bits.v));
    return bits;
}
inline I32 and_(I32 a, I32 b) { return {a.v & b.v}; }
inline I32 add(I32 a, I32 b) { return {a.v + b.v}; }
inline I32 mul(I32 a, I32 b) { return {a.v * b.v}; }
inline I32 add_where(M32 mask, I32 acc, I32 step) { return {acc.v + (mask.v ? step.v : 0)}; }
inline F32 lookup(const float *table, std::size_t, I32 index) { return {table[index.v]}; }
inline I32 lookup(const std::int32_t *table, std::size_t, I32 index) { return {table[index.v]}; }
inline void load_rows(const float *z, std::size_t, F32 (&x)[4]) {
    for (std::size_t i = 0; i < 4; ++i) {
        x[i].v = z[i];
    }
}
inline void store_rows(float *z, std::size_t, F32 (&x)[4]) {
    for (std::size_t i = 0; i < 4; ++i) {
        z[i] = x[i].v;
    }
}

#endif

} // namespace
} // namespace conv2d::simd::CONV2D_PATH
