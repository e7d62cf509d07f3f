// Which instruction set the kernels run on. Every path gives the same bits; they differ in speed only.
//
// The best path that this processor has is taken at the first call, unless the environment names another one in
// CONV2D_SIMD (scalar, neon, avx2 or avx512).
#pragma once

#include <string_view>
#include <vector>

namespace conv2d {

enum class SimdPath { scalar, neon, avx2, avx512 };

// Those that were built and that this processor has, the slowest (scalar) first.
[[nodiscard]] std::vector<SimdPath> simd_paths();

// The path in use. Throws std::invalid_argument when CONV2D_SIMD names one that is unknown or not there.
[[nodiscard]] SimdPath simd_path();

// Takes another path for all calls that begin from now on. Throws std::invalid_argument when it is not there.
void use_simd_path(SimdPath path);

[[nodiscard]] std::string_view simd_name(SimdPath path);

// Throws std::invalid_argument on a name that is none.
[[nodiscard]] SimdPath simd_path_of(std::string_view name);

} // namespace conv2d
