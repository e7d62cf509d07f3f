#include "fsq_kernels.hpp"

#include "f32.hpp"

namespace conv2d::simd::CONV2D_PATH {
namespace {

constexpr std::size_t kLanes = F32::lanes;
constexpr std::int32_t kMostCounted = CONV2D_PATH_IS_AVX512 ? 4 : 16; // levels; from more on cells are faster

bool holds_nan(const float *z, std::size_t count) noexcept {
    std::size_t i = 0;
    bool found = false;
    for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
        found |= any_nan(load(z + i), load(z + i + kLanes));
    }
    for (; i < count; ++i) {
        found |= __builtin_isnan(z[i]) != 0;
    }
    return found;
}

// Rows that hold NaN, once all others are right. Rare, so it need not be fast.
[[gnu::noinline]] void put_sentinels(const float *z, std::size_t rows, std::size_t d, const FsqOutputs &out) noexcept {
    for (std::size_t row = 0; row < rows; ++row) {
        if (!holds_nan(z + row * d, d)) {
            continue;
        }
        if (out.codes32 != nullptr) {
            out.codes32[row] = -1;
        }
        if (out.codes64 != nullptr) {
            out.codes64[row] = -1;
        }
        for (std::size_t i = 0; out.values != nullptr && i < d; ++i) {
            out.values[row * d + i] = __builtin_nanf("");
        }
        if (out.margins != nullptr) {
            out.margins[row] = __builtin_nanf("");
        }
    }
}

// The digits of kGroups registers of one column.
template <std::size_t kGroups>
inline void digits_of(const FsqColumn &column, const F32 (&x)[kGroups], I32 (&digits)[kGroups]) {
    if (column.levels <= kMostCounted) {
        const I32 one = broadcast(std::int32_t{1});
        for (I32 &digit : digits) {
            digit = broadcast(std::int32_t{0});
        }
        for (std::int32_t k = 1; k < column.levels; ++k) {
            const F32 threshold = broadcast(column.edges[k]);
            for (std::size_t i = 0; i < kGroups; ++i) {
                digits[i] = add_where(at_or_above(x[i], threshold), digits[i], one);
            }
        }
        return;
    }
    const auto cells = static_cast<std::size_t>(column.cells);
    const I32 last = broadcast(column.cells - 1);
    const F32 bound = broadcast(column.bound);
    const F32 scale = broadcast(column.scale);
    const F32 bias = broadcast(column.bias);
    const I32 one = broadcast(std::int32_t{1});
    for (std::size_t i = 0; i < kGroups; ++i) {
        const I32 cell = and_(bits_of(fma(within(x[i], bound), scale, bias)), last);
        const M32 above = at_or_above(x[i], lookup(column.cell_threshold, cells, cell));
        digits[i] = add_where(above, lookup(column.cell_digits, cells, cell), one);
    }
}

// Up to 4 columns from `first` on, for R rows of which the last may be missing: they repeat the last one there is.
template <std::size_t R> inline void load_columns(const float *z, std::size_t rows, std::size_t dimensions,
                                                  std::size_t first, std::size_t width, float (&x)[4][R]) {
    if (rows == R && width == 4) {
        for (std::size_t row = 0; row < R; row += kLanes) {
            F32 four[4];
            load_rows(z + row * dimensions + first, dimensions, four);
            for (std::size_t i = 0; i < 4; ++i) {
                store(x[i] + row, four[i]);
            }
        }
        return;
    }
    for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t col = first + (i < width ? i : 0);
        for (std::size_t row = 0; row < R; ++row) {
            x[i][row] = z[(row < rows ? row : rows - 1) * dimensions + col];
        }
    }
}

template <std::size_t R> inline void store_columns(const float (&x)[4][R], std::size_t rows, std::size_t dimensions,
                                                   std::size_t first, std::size_t width, float *z) {
    if (rows == R && width == 4) {
        for (std::size_t row = 0; row < R; row += kLanes) {
            F32 four[4] = {load(x[0] + row), load(x[1] + row), load(x[2] + row), load(x[3] + row)};
            store_rows(z + row * dimensions + first, dimensions, four);
        }
        return;
    }
    for (std::size_t row = 0; row < rows; ++row) {
        for (std::size_t i = 0; i < 4 && i < width; ++i) {
            z[row * dimensions + first + i] = x[i][row];
        }
    }
}

// The part of the codes that one limb holds, added to what stands there unless it is the first.
template <std::size_t kGroups> inline void store_codes(const I32 (&part)[kGroups], std::size_t rows,
                                                       const FsqLimb &limb, bool first, const FsqOutputs &out) {
    alignas(64) std::int32_t codes[kGroups * kLanes];
    for (std::size_t i = 0; i < kGroups; ++i) {
        store(codes + i * kLanes, part[i]);
    }
    if (out.codes32 != nullptr) {
        for (std::size_t row = 0; row < rows; ++row) {
            out.codes32[row] = codes[row];
        }
    } else if (out.codes64 != nullptr) {
        for (std::size_t row = 0; row < rows; ++row) {
            const auto more = static_cast<std::uint64_t>(codes[row]) * limb.stride;
            const auto before = first ? 0 : static_cast<std::uint64_t>(out.codes64[row]);
            out.codes64[row] = static_cast<std::int64_t>(before + more);
        }
    }
}

// At most kGroups registers of rows, all columns, all outputs.
template <std::size_t kGroups>
void block(const FsqPlan &plan, const float *z, std::size_t rows, const FsqOutputs &out) noexcept {
    constexpr std::size_t R = kGroups * kLanes;
    const std::size_t d = plan.dimensions;
    const std::size_t width = d < 4 ? d : 4;
    alignas(64) float x[4][R];
    alignas(64) float values[4][R];
    I32 part[kGroups];
    F32 margin[kGroups];
    for (std::size_t i = 0; i < kGroups; ++i) {
        part[i] = broadcast(std::int32_t{0});
        margin[i] = broadcast(__builtin_inff());
    }
    const FsqLimb *limb = plan.limbs;
    std::size_t limb_end = limb->columns;
    for (std::size_t done = 0; done < d; done += width) {
        const std::size_t first = done + width <= d ? done : d - width; // the last four overlap those before
        load_columns(z, rows, d, first, width, x);
        for (std::size_t col = first; col < first + width; ++col) {
            const FsqColumn &column = plan.columns[col];
            const auto levels = static_cast<std::size_t>(column.levels);
            F32 at[kGroups];
            I32 digits[kGroups];
            for (std::size_t i = 0; i < kGroups; ++i) {
                at[i] = load(x[col - first] + i * kLanes);
            }
            digits_of(column, at, digits);
            if (out.values != nullptr) {
                for (std::size_t i = 0; i < kGroups; ++i) {
                    store(values[col - first] + i * kLanes, lookup(column.values, levels, digits[i]));
                }
            }
            if (col < done) { // counted already; only its values were wanted again
                continue;
            }
            if (out.margins != nullptr) {
                for (std::size_t i = 0; i < kGroups; ++i) { // NaN where there is no threshold on that side
                    margin[i] = lesser(margin[i], sub(lookup(column.edges + 1, levels, digits[i]), at[i]));
                    margin[i] = lesser(margin[i], sub(at[i], lookup(column.edges, levels, digits[i])));
                }
            }
            const I32 stride = broadcast(column.stride);
            for (std::size_t i = 0; i < kGroups; ++i) {
                part[i] = add(part[i], mul(digits[i], stride));
            }
            if (col + 1 == limb_end) {
                store_codes(part, rows, *limb, limb == plan.limbs, out);
                for (I32 &codes : part) {
                    codes = broadcast(std::int32_t{0});
                }
                ++limb;
                limb_end += col + 1 < d ? limb->columns : 0;
            }
        }
        if (out.values != nullptr) {
            store_columns(values, rows, d, first, width, out.values);
        }
    }
    if (out.margins != nullptr) {
        alignas(64) float margins[R];
        for (std::size_t i = 0; i < kGroups; ++i) {
            store(margins + i * kLanes, margin[i]);
        }
        for (std::size_t row = 0; row < rows; ++row) {
            out.margins[row] = margins[row];
        }
    }
}

#if CONV2D_PATH_IS_AVX512

// d = 1 to 4, codes of 32 bits and nothing else: all tables stay in registers, and a digit costs 7 instructions.

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
std::size_t encode_rows(const FsqPlan &plan, const float *z, std::size_t rows, const FsqOutputs &out) noexcept {
    std::int32_t *const codes = out.codes32;
    Table<Cells> thresholds[D];
    Table<Cells> below[D];
    __m512 bound[D], scale[D], bias[D];
    __m512i stride[D];
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
            for (int i = 0; i < D; ++i) {
                raw[i] = _mm512_loadu_ps(z + row * D + i * 16);
            }
        } else {
            const auto there = (std::uint64_t{1} << (now * D)) - 1; // fewer than 16 rows: at most 60 floats
            for (int i = 0; i < D; ++i) {
                raw[i] = _mm512_maskz_loadu_ps(static_cast<__mmask16>(there >> (16 * i)), z + row * D + i * 16);
            }
        }
        __mmask16 nan = 0;
        for (int i = 0; i < D; i += 2) {
            nan |= _mm512_cmp_ps_mask(raw[i], raw[i + 1 < D ? i + 1 : i], _CMP_UNORD_Q);
        }
        if (nan != 0 && !out.sentinel) {
            return row;
        }
        __m512 x[D];
        Rows<D>::split(raw, x);
        __m512i code = _mm512_setzero_si512();
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
        if (nan != 0) {
            put_sentinels(z + row * D, now, D, {codes + row});
        }
    }
    return rows;
}

#endif

std::size_t quantize(const FsqPlan &plan, const float *z, std::size_t rows, const FsqOutputs &out) noexcept {
    constexpr std::size_t kMany = 4;
    const std::size_t d = plan.dimensions;
#if CONV2D_PATH_IS_AVX512
    if (d <= 4 && plan.most_cells <= 32 && out.codes32 != nullptr && out.values == nullptr && out.margins == nullptr) {
        using Encode = std::size_t (*)(const FsqPlan &, const float *, std::size_t, const FsqOutputs &) noexcept;
        constexpr Encode kEncode[2][4] = {
            {&encode_rows<1, 16>, &encode_rows<2, 16>, &encode_rows<3, 16>, &encode_rows<4, 16>},
            {&encode_rows<1, 32>, &encode_rows<2, 32>, &encode_rows<3, 32>, &encode_rows<4, 32>}};
        return kEncode[plan.most_cells <= 16 ? 0 : 1][d - 1](plan, z, rows, out);
    }
#endif
    for (std::size_t row = 0; row < rows;) {
        const bool many = rows - row >= kMany * kLanes;
        const std::size_t left = rows - row < kLanes ? rows - row : kLanes;
        const std::size_t now = many ? kMany * kLanes : left;
        const bool nan = holds_nan(z + row * d, now * d);
        if (nan && !out.sentinel) {
            return row;
        }
        const FsqOutputs here{out.codes32 != nullptr ? out.codes32 + row : nullptr,
                              out.codes64 != nullptr ? out.codes64 + row : nullptr,
                              out.values != nullptr ? out.values + row * d : nullptr,
                              out.margins != nullptr ? out.margins + row : nullptr, out.sentinel};
        if (many) {
            block<kMany>(plan, z + row * d, now, here);
        } else {
            block<1>(plan, z + row * d, now, here);
        }
        if (nan) {
            put_sentinels(z + row * d, now, d, here);
        }
        row += now;
    }
    return rows;
}

} // namespace

extern const FsqKernels fsq_kernels;
const FsqKernels fsq_kernels{&quantize};

} // namespace conv2d::simd::CONV2D_PATH
