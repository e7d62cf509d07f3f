// What every kernel relies on: strict IEEE arithmetic, a NaN test on the bits, and matrix views.
#pragma once

#include <bit>
#include <cfloat>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ != 0)
#error "conv2d needs NaN and infinities: build without -ffast-math, -Ofast and -ffinite-math-only"
#endif

namespace conv2d {

static_assert(std::numeric_limits<float>::is_iec559 && std::numeric_limits<double>::is_iec559,
              "FSQ thresholds are found on IEEE bit patterns, and log scores need infinities");
static_assert(FLT_EVAL_METHOD == 0, "wider intermediates would round FSQ values and ties differently on this machine");

inline constexpr double kNever = -std::numeric_limits<double>::infinity(); // log score of what cannot happen

// On the bits, so that it holds whatever the compiler believes about NaN.
[[nodiscard]] constexpr bool is_nan(float value) noexcept {
    return (std::bit_cast<std::uint32_t>(value) & 0x7fffffffu) > 0x7f800000u;
}

[[nodiscard]] constexpr bool is_nan(double value) noexcept {
    return (std::bit_cast<std::uint64_t>(value) & 0x7fffffffffffffffu) > 0x7ff0000000000000u;
}

// Row-major view of memory that somebody else owns.
template <typename T> struct Matrix {
    T *data = nullptr;
    std::size_t rows = 0;
    std::size_t cols = 0;

    [[nodiscard]] constexpr T &operator()(std::size_t row, std::size_t col) const noexcept {
        return data[row * cols + col];
    }
    [[nodiscard]] constexpr std::span<T> row(std::size_t index) const noexcept { return {data + index * cols, cols}; }
};

} // namespace conv2d
