// 64 samples against two thresholds at once, and 64 bits as bools.
#pragma once

#include "u8.hpp"

namespace conv2d::simd::CONV2D_PATH {
namespace {

constexpr std::size_t kWord = 64;

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

} // namespace
} // namespace conv2d::simd::CONV2D_PATH
