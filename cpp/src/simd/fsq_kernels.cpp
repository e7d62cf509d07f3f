#include "fsq_kernels.hpp"

#include "f32.hpp"
#if CONV2D_PATH_IS_AVX512
#include "fsq_encode_avx512.hpp"
#endif

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
// Where `whole` says that all are there, and so is the float after a row of fewer than 4 columns, registers are read.
template <std::size_t R> inline void load_columns(const float *z, std::size_t rows, bool whole, std::size_t dimensions,
                                                  std::size_t first, std::size_t width, float (&x)[4][R]) {
    if (whole) {
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

// At most kGroups registers of rows, all columns, all outputs. `after` rows follow in memory.
template <std::size_t kGroups>
void block(const FsqPlan &plan, const float *z, std::size_t rows, std::size_t after, const FsqOutputs &out) noexcept {
    constexpr std::size_t R = kGroups * kLanes;
    const std::size_t d = plan.dimensions;
    const std::size_t width = d < 4 ? d : 4;
    const bool whole = rows == R && (d >= 4 || after >= 3); // 3 rows hold the 3 floats that one row of 1 lacks
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
        load_columns(z, rows, whole, d, first, width, x);
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

std::size_t quantize(const FsqPlan &plan, const float *z, std::size_t rows, const FsqOutputs &out) noexcept {
    constexpr std::size_t kMany = 4;
    const std::size_t d = plan.dimensions;
#if CONV2D_PATH_IS_AVX512
    const Encode encode = encoder(plan, out);
#endif
    for (std::size_t row = 0; row < rows;) {
#if CONV2D_PATH_IS_AVX512
        if (encode != nullptr) {
            row += encode(plan, z + row * d, rows - row, out.codes32 + row);
            if (row == rows || !out.sentinel) {
                return row;
            }
        }
        const bool many = encode == nullptr && rows - row >= kMany * kLanes;
#else
        const bool many = rows - row >= kMany * kLanes;
#endif
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
            block<kMany>(plan, z + row * d, now, rows - row - now, here);
        } else {
            block<1>(plan, z + row * d, now, rows - row - now, here);
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
