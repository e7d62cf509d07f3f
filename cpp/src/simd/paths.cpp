#include "conv2d/simd.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace conv2d {
namespace {

constexpr std::array kNames{std::string_view("scalar"), std::string_view("neon"), std::string_view("avx2"),
                            std::string_view("avx512")};

constexpr int kUnset = -1;
std::atomic<int> chosen{kUnset};

std::string listed(const std::vector<SimdPath> &paths) {
    std::string text;
    for (const SimdPath path : paths) {
        text += (text.empty() ? "" : ", ") + std::string(simd_name(path));
    }
    return text;
}

void require_there(SimdPath path, const char *who) {
    const auto paths = simd_paths();
    if (std::find(paths.begin(), paths.end(), path) == paths.end()) {
        throw std::invalid_argument(std::string(who) + " is " + std::string(simd_name(path)) +
                                    ", which this machine or build lacks, expected one of " + listed(paths));
    }
}

SimdPath from_environment() {
    const char *name = std::getenv("CONV2D_SIMD");
    if (name == nullptr || *name == '\0') {
        return simd_paths().back();
    }
    const auto *const found = std::find(kNames.begin(), kNames.end(), name);
    if (found == kNames.end()) {
        throw std::invalid_argument("CONV2D_SIMD is '" + std::string(name) + "', expected one of " +
                                    listed(simd_paths()));
    }
    const auto path = static_cast<SimdPath>(found - kNames.begin());
    require_there(path, "CONV2D_SIMD");
    return path;
}

} // namespace

std::vector<SimdPath> simd_paths() {
    std::vector<SimdPath> paths{SimdPath::scalar};
#if defined(CONV2D_HAVE_NEON)
    paths.push_back(SimdPath::neon); // every aarch64 has it
#endif
#if defined(CONV2D_HAVE_AVX)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    if (avx2) {
        paths.push_back(SimdPath::avx2);
    }
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
        paths.push_back(SimdPath::avx512);
    }
#endif
    return paths;
}

SimdPath simd_path() {
    const int path = chosen.load(std::memory_order_relaxed);
    if (path != kUnset) {
        return static_cast<SimdPath>(path);
    }
    const SimdPath first = from_environment();
    int expected = kUnset;
    chosen.compare_exchange_strong(expected, static_cast<int>(first), std::memory_order_relaxed);
    return static_cast<SimdPath>(chosen.load(std::memory_order_relaxed));
}

void use_simd_path(SimdPath path) {
    require_there(path, "the SIMD path");
    chosen.store(static_cast<int>(path), std::memory_order_relaxed);
}

std::string_view simd_name(SimdPath path) { return kNames[static_cast<std::size_t>(path)]; }

SimdPath simd_path_of(std::string_view name) {
    const auto *const found = std::find(kNames.begin(), kNames.end(), name);
    if (found == kNames.end()) {
        throw std::invalid_argument("the SIMD path is '" + std::string(name) + "', expected one of " +
                                    listed(simd_paths()));
    }
    return static_cast<SimdPath>(found - kNames.begin());
}

} // namespace conv2d
