// Vectors of bytes, one type for every path: U8 holds U8::lanes values. A mask M8 has one truth value a lane.
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

#if CONV2D_PATH_IS_AVX512

struct U8 {
    static constexpr std::size_t lanes = 64;
    __m512i v;
};
using M8 = __mmask64;
inline U8 load(const std::uint8_t *p) { return {_mm512_loadu_si512(p)}; }
inline void store(std::uint8_t *p, U8 a) { _mm512_storeu_si512(p, a.v); }
inline U8 broadcast(std::uint8_t x) { return {_mm512_set1_epi8(static_cast<char>(x))}; }
inline U8 min(U8 a, U8 b) { return {_mm512_min_epu8(a.v, b.v)}; }
inline U8 max(U8 a, U8 b) { return {_mm512_max_epu8(a.v, b.v)}; }
inline M8 equal(U8 a, U8 b) { return _mm512_cmpeq_epi8_mask(a.v, b.v); }
inline U8 select(M8 mask, U8 yes, U8 no) { return {_mm512_mask_blend_epi8(mask, no.v, yes.v)}; }
inline U8 count(U8 a, M8 mask) { return {_mm512_mask_sub_epi8(a.v, mask, a.v, _mm512_set1_epi8(-1))}; } // a + mask
inline U8 min_where(M8 mask, U8 a, U8 b) { return {_mm512_mask_min_epu8(a.v, mask, a.v, b.v)}; }        // else a
inline std::uint64_t bits(M8 mask) { return mask; } // bit i is lane i

#elif CONV2D_PATH_IS_AVX2

struct U8 {
    static constexpr std::size_t lanes = 32;
    __m256i v;
};
struct M8 {
    __m256i v;
};
inline U8 load(const std::uint8_t *p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p))}; }
inline void store(std::uint8_t *p, U8 a) { _mm256_storeu_si256(reinterpret_cast<__m256i *>(p), a.v); }
inline U8 broadcast(std::uint8_t x) { return {_mm256_set1_epi8(static_cast<char>(x))}; }
inline U8 min(U8 a, U8 b) { return {_mm256_min_epu8(a.v, b.v)}; }
inline U8 max(U8 a, U8 b) { return {_mm256_max_epu8(a.v, b.v)}; }
inline M8 equal(U8 a, U8 b) { return {_mm256_cmpeq_epi8(a.v, b.v)}; }
inline U8 select(M8 mask, U8 yes, U8 no) { return {_mm256_blendv_epi8(no.v, yes.v, mask.v)}; }
inline U8 count(U8 a, M8 mask) { return {_mm256_sub_epi8(a.v, mask.v)}; }
inline U8 min_where(M8 mask, U8 a, U8 b) {
    const __m256i ones = _mm256_set1_epi8(-1);
    return {_mm256_min_epu8(a.v, _mm256_or_si256(b.v, _mm256_xor_si256(mask.v, ones)))};
}
inline std::uint64_t bits(M8 mask) { return static_cast<std::uint32_t>(_mm256_movemask_epi8(mask.v)); }

#elif CONV2D_PATH_IS_NEON

struct U8 {
    static constexpr std::size_t lanes = 16;
    uint8x16_t v;
};
struct M8 {
    uint8x16_t v;
};
inline U8 load(const std::uint8_t *p) { return {vld1q_u8(p)}; }
inline void store(std::uint8_t *p, U8 a) { vst1q_u8(p, a.v); }
inline U8 broadcast(std::uint8_t x) { return {vdupq_n_u8(x)}; }
inline U8 min(U8 a, U8 b) { return {vminq_u8(a.v, b.v)}; }
inline U8 max(U8 a, U8 b) { return {vmaxq_u8(a.v, b.v)}; }
inline M8 equal(U8 a, U8 b) { return {vceqq_u8(a.v, b.v)}; }
inline U8 select(M8 mask, U8 yes, U8 no) { return {vbslq_u8(mask.v, yes.v, no.v)}; }
inline U8 count(U8 a, M8 mask) { return {vsubq_u8(a.v, mask.v)}; }
inline U8 min_where(M8 mask, U8 a, U8 b) { return {vminq_u8(a.v, vornq_u8(b.v, mask.v))}; }
inline std::uint64_t bits(M8 mask) {
    const uint8x16_t place = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t set = vandq_u8(mask.v, place);
    const unsigned low = vaddv_u8(vget_low_u8(set));
    const unsigned high = vaddv_u8(vget_high_u8(set));
    return low | high << 8;
}

#else // scalar

struct U8 {
    static constexpr std::size_t lanes = 1;
    std::uint8_t v;
};
struct M8 {
    bool v;
};
inline U8 load(const std::uint8_t *p) { return {*p}; }
inline void store(std::uint8_t *p, U8 a) { *p = a.v; }
inline U8 broadcast(std::uint8_t x) { return {x}; }
inline U8 min(U8 a, U8 b) { return {a.v < b.v ? a.v : b.v}; }
inline U8 max(U8 a, U8 b) { return {a.v > b.v ? a.v : b.v}; }
inline M8 equal(U8 a, U8 b) { return {a.v == b.v}; }
inline U8 select(M8 mask, U8 yes, U8 no) { return mask.v ? yes : no; }
inline U8 count(U8 a, M8 mask) { return {static_cast<std::uint8_t>(a.v + (mask.v ? 1 : 0))}; }
inline U8 min_where(M8 mask, U8 a, U8 b) { return mask.v ? min(a, b) : a; }
inline std::uint64_t bits(M8 mask) { return mask.v ? 1u : 0u; }

#endif

} // namespace
} // namespace conv2d::simd::CONV2D_PATH
