// Codes of 32 bits of up to 4 columns, and nothing else, with AVX-512: here every instruction counts.
//
// encode_line    lattices of few levels (FsqLine): 5 instructions a register of z, and 2 to 8 to put 16 codes together
// encode_rows    cells: columns are separated first, then 7 instructions a register
// Both keep all tables in registers. The loops are unrolled by name, else GCC keeps the tables in memory.
#pragma once

#include "f32.hpp"
#include "fsq_kernels.hpp"

namespace conv2d::simd::CONV2D_PATH {
namespace {

template <int D> inline bool any_nan_of(const __m512 (&raw)[D]) {
    __mmask16 nan = 0;
#pragma GCC unroll 4
    for (int i = 0; i < D; i += 2) {
        nan |= _mm512_cmp_ps_mask(raw[i], raw[i + 1 < D ? i + 1 : i], _CMP_UNORD_Q);
    }
    return nan != 0;
}

// D registers hold 16 rows one after the other; split gives one register a column, its rows in the order that in_order
// puts right.
template <int D> struct Rows;

template <> struct Rows<1> {
    static void split(const __m512 (&raw)[1], __m512 (&x)[1]) { x[0] = raw[0]; }
    static __m512i in_order(__m512i codes) { return codes; }
};

template <> struct Rows<2> {
    static void split(const __m512 (&raw)[2], __m512 (&x)[2]) {
        const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
        const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
        x[0] = _mm512_permutex2var_ps(raw[0], even, raw[1]);
        x[1] = _mm512_permutex2var_ps(raw[0], odd, raw[1]);
    }
    static __m512i in_order(__m512i codes) { return codes; }
};

template <> struct Rows<3> {
    // In three registers every column stands once in each lane: two blends gather it, one permutation sorts it.
    static void split(const __m512 (&raw)[3], __m512 (&x)[3]) {
        constexpr __mmask16 kFirst = 0x9249; // lanes 0, 3, 6, ...
        constexpr __mmask16 kSecond = 0x2492;
        constexpr __mmask16 kThird = 0x4924;
        const __m512i order0 = _mm512_setr_epi32(0, 3, 6, 9, 12, 15, 2, 5, 8, 11, 14, 1, 4, 7, 10, 13);
        const __m512i order1 = _mm512_setr_epi32(1, 4, 7, 10, 13, 0, 3, 6, 9, 12, 15, 2, 5, 8, 11, 14);
        const __m512i order2 = _mm512_setr_epi32(2, 5, 8, 11, 14, 1, 4, 7, 10, 13, 0, 3, 6, 9, 12, 15);
        const __m512 in0 = _mm512_mask_blend_ps(kSecond, _mm512_mask_blend_ps(kThird, raw[0], raw[1]), raw[2]);
        const __m512 in1 = _mm512_mask_blend_ps(kThird, _mm512_mask_blend_ps(kFirst, raw[0], raw[1]), raw[2]);
        const __m512 in2 = _mm512_mask_blend_ps(kFirst, _mm512_mask_blend_ps(kSecond, raw[0], raw[1]), raw[2]);
        x[0] = _mm512_permutexvar_ps(order0, in0);
        x[1] = _mm512_permutexvar_ps(order1, in1);
        x[2] = _mm512_permutexvar_ps(order2, in2);
    }
    static __m512i in_order(__m512i codes) { return codes; }
};

template <> struct Rows<4> {
    static void split(const __m512 (&raw)[4], __m512 (&x)[4]) {
        F32 four[4] = {{raw[0]}, {raw[1]}, {raw[2]}, {raw[3]}};
        transpose(four);
        for (int i = 0; i < 4; ++i) {
            x[i] = four[i].v;
        }
    }
    static __m512i in_order(__m512i codes) {
        const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        return _mm512_permutexvar_epi32(order, codes);
    }
};

// A table of 16 or 32 entries.
template <int Entries> struct Table {
    __m512i low, high;
    void read(const void *from, __m512i factor) {
        low = _mm512_mullo_epi32(_mm512_loadu_si512(from), factor);
        if constexpr (Entries == 32) {
            high = _mm512_mullo_epi32(_mm512_loadu_si512(static_cast<const char *>(from) + 64), factor);
        }
    }
    [[nodiscard]] __m512i at(__m512i index) const { // the low bits of the index count
        if constexpr (Entries == 32) {
            return _mm512_permutex2var_epi32(low, index, high);
        } else {
            return _mm512_permutexvar_epi32(index, low);
        }
    }
};

template <int D, int Cells>
std::size_t encode_rows(const FsqPlan &plan, const float *z, std::size_t rows, std::int32_t *codes) noexcept {
    Table<Cells> thresholds[D];
    Table<Cells> below[D];
    __m512 bound[D], scale[D], bias[D];
    __m512i stride[D];
#pragma GCC unroll 4
    for (int i = 0; i < D; ++i) {
        const FsqColumn &column = plan.columns[i];
        bound[i] = _mm512_set1_ps(column.bound);
        scale[i] = _mm512_set1_ps(column.scale);
        bias[i] = _mm512_set1_ps(column.bias);
        stride[i] = _mm512_set1_epi32(column.stride);
        thresholds[i].read(column.cell_threshold, _mm512_set1_epi32(1));
        below[i].read(column.cell_digits, stride[i]);
    }
    for (std::size_t row = 0; row < rows; row += 16) {
        const std::size_t now = rows - row < 16 ? rows - row : 16;
        __m512 raw[D];
        if (now == 16) {
#pragma GCC unroll 4
            for (int i = 0; i < D; ++i) {
                raw[i] = _mm512_loadu_ps(z + row * D + i * 16);
            }
        } else {
            const auto there = (std::uint64_t{1} << (now * D)) - 1; // fewer than 16 rows: at most 60 floats
#pragma GCC unroll 4
            for (int i = 0; i < D; ++i) {
                raw[i] = _mm512_maskz_loadu_ps(static_cast<__mmask16>(there >> (16 * i)), z + row * D + i * 16);
            }
        }
        if (any_nan_of(raw)) {
            return row;
        }
        __m512 x[D];
        Rows<D>::split(raw, x);
        __m512i code = _mm512_setzero_si512();
#pragma GCC unroll 4
        for (int i = 0; i < D; ++i) {
            const __m512 in = _mm512_range_ps(x[i], bound[i], 2);
            const __m512i cell = _mm512_castps_si512(_mm512_fmadd_ps(in, scale[i], bias[i]));
            const __m512 threshold = _mm512_castsi512_ps(thresholds[i].at(cell));
            const __mmask16 above = _mm512_cmp_ps_mask(x[i], threshold, _CMP_GE_OQ);
            code = _mm512_add_epi32(code, below[i].at(cell));
            code = _mm512_mask_add_epi32(code, above, code, stride[i]);
        }
        code = Rows<D>::in_order(code);
        if (now == 16) {
            _mm512_storeu_si512(codes + row, code);
        } else {
            _mm512_mask_storeu_epi32(codes + row, static_cast<__mmask16>((1u << now) - 1), code);
        }
    }
    return rows;
}

inline __m512i low_halves() {
    alignas(64) static constexpr std::int16_t kIndex[32] = {0,  2,  4,  6,  8,  10, 12, 14, 16, 18, 20,
                                                            22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42,
                                                            44, 46, 48, 50, 52, 54, 56, 58, 60, 62};
    return _mm512_load_si512(kIndex);
}

// Codes of 16 rows from the places in the table, one a lane, as the rows lie in memory. The low halves of the lanes
// count.
struct Weights {
    __m512i pairs, halves; // see FsqLine
};

inline __m512i codes_of(const __m512i (&places)[1], const Weights &) {
    return _mm512_and_si512(places[0], _mm512_set1_epi32(0xffff));
}

inline __m512i codes_of(const __m512i (&places)[2], const Weights &weights) {
    const __m512i words = _mm512_permutex2var_epi16(places[0], low_halves(), places[1]);
    return _mm512_madd_epi16(words, weights.halves);
}

inline __m512i codes_of(const __m512i (&places)[3], const Weights &weights) {
    const __m512i words = _mm512_permutex2var_epi16(places[0], low_halves(), places[1]);
    const __m512i rest = _mm512_permutexvar_epi16(low_halves(), places[2]);
    const __m512i fours = _mm512_packus_epi16(words, rest); // 4 places in each lane of 32 bits
    const __m512i by_three = _mm512_setr_epi32(0, 1, 4, 0, 5, 8, 9, 0, 12, 13, 2, 0, 3, 6, 7, 0);
    const __m512i spread = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1));
    const __m512i bytes = _mm512_shuffle_epi8(_mm512_permutexvar_epi32(by_three, fours), spread);
    return _mm512_madd_epi16(_mm512_maddubs_epi16(bytes, weights.pairs), weights.halves);
}

inline __m512i codes_of(const __m512i (&places)[4], const Weights &weights) {
    const __m512i low = _mm512_permutex2var_epi16(places[0], low_halves(), places[1]);
    const __m512i high = _mm512_permutex2var_epi16(places[2], low_halves(), places[3]);
    const __m512i codes =
        _mm512_madd_epi16(_mm512_maddubs_epi16(_mm512_packus_epi16(low, high), weights.pairs), weights.halves);
    const __m512i order = _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    return _mm512_permutexvar_epi32(order, codes);
}

// Up to 4 columns of few levels (FsqLine), codes of 32 bits and nothing else.
template <int D, int Entries>
std::size_t encode_line(const FsqPlan &plan, const float *z, std::size_t rows, std::int32_t *codes) noexcept {
    constexpr int kPatterns = D == 3 ? 3 : 1;
    const FsqLine &line = *plan.line;
    __m512 bound[kPatterns], scale[kPatterns], bias[kPatterns];
#pragma GCC unroll 4
    for (int i = 0; i < kPatterns; ++i) {
        bound[i] = _mm512_load_ps(line.bound[i]);
        scale[i] = _mm512_load_ps(line.scale[i]);
        bias[i] = _mm512_load_ps(line.bias[i]);
    }
    const __m512 low = _mm512_load_ps(line.thresholds);
    const __m512 high = _mm512_load_ps(line.thresholds + 16);
    const Weights weights = {_mm512_set1_epi32(line.pairs), _mm512_set1_epi32(line.halves)};
    const __m512i excess = _mm512_set1_epi32(line.excess);
    const __m512i one = _mm512_set1_epi32(1);
    for (std::size_t row = 0; row < rows; row += 16) {
        const std::size_t now = rows - row < 16 ? rows - row : 16;
        __m512 raw[D];
        if (now == 16) {
#pragma GCC unroll 4
            for (int i = 0; i < D; ++i) {
                raw[i] = _mm512_loadu_ps(z + row * D + i * 16);
            }
        } else {
            const auto there = (std::uint64_t{1} << (now * D)) - 1; // fewer than 16 rows: at most 60 floats
#pragma GCC unroll 4
            for (int i = 0; i < D; ++i) {
                raw[i] = _mm512_maskz_loadu_ps(static_cast<__mmask16>(there >> (16 * i)), z + row * D + i * 16);
            }
        }
        if (any_nan_of(raw)) {
            return row;
        }
        __m512i places[D];
#pragma GCC unroll 4
        for (int i = 0; i < D; ++i) {
            const int p = i % kPatterns;
            const __m512i place = _mm512_castps_si512(_mm512_fmadd_round_ps(
                _mm512_range_ps(raw[i], bound[p], 2), scale[p], bias[p], _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
            const __m512 threshold =
                Entries == 16 ? _mm512_permutexvar_ps(place, low) : _mm512_permutex2var_ps(low, place, high);
            const __mmask16 above = _mm512_cmp_ps_mask(raw[i], threshold, _CMP_GE_OQ);
            places[i] = _mm512_mask_add_epi32(place, above, place, one);
        }
        const __m512i code = _mm512_sub_epi32(codes_of(places, weights), excess);
        if (now == 16) {
            _mm512_storeu_si512(codes + row, code);
        } else {
            _mm512_mask_storeu_epi32(codes + row, static_cast<__mmask16>((1u << now) - 1), code);
        }
    }
    return rows;
}

using Encode = std::size_t (*)(const FsqPlan &, const float *, std::size_t, std::int32_t *) noexcept;

// The fastest there is for codes and nothing else, or nullptr; it stops before 16 rows that hold NaN.
Encode encoder(const FsqPlan &plan, const FsqOutputs &out) noexcept {
    constexpr Encode kLine[2][4] = {
        {&encode_line<1, 16>, &encode_line<2, 16>, &encode_line<3, 16>, &encode_line<4, 16>},
        {&encode_line<1, 32>, &encode_line<2, 32>, &encode_line<3, 32>, &encode_line<4, 32>}};
    constexpr Encode kRows[2][4] = {
        {&encode_rows<1, 16>, &encode_rows<2, 16>, &encode_rows<3, 16>, &encode_rows<4, 16>},
        {&encode_rows<1, 32>, &encode_rows<2, 32>, &encode_rows<3, 32>, &encode_rows<4, 32>}};
    if (out.codes32 == nullptr || out.values != nullptr || out.margins != nullptr || plan.dimensions > 4) {
        return nullptr;
    }
    if (plan.line != nullptr) {
        return kLine[plan.line->entries <= 16 ? 0 : 1][plan.dimensions - 1];
    }
    return plan.most_cells <= 32 ? kRows[plan.most_cells <= 16 ? 0 : 1][plan.dimensions - 1] : nullptr;
}

} // namespace
} // namespace conv2d::simd::CONV2D_PATH
