// conv2d_bench: how long the kernels take on this machine. Figures only; nothing here passes or fails.
#include "machine.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

namespace {

using conv2d::bench::ClockState;
using conv2d::bench::Result;

constexpr const char *kUsage =
    "[--json] [--list] [--filter PART_OF_A_NAME] [--seconds S] [--simd PATH | --paths], as in\n"
    "  conv2d_bench --filter hsmm_viterbi --paths\n";

std::string quoted(const std::string &text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
        }
        if (static_cast<unsigned char>(c) >= 0x20) {
            out += c;
        }
    }
    return out + "\"";
}

std::string number(const std::optional<double> &value) {
    char digits[32] = "null";
    if (value) {
        std::snprintf(digits, sizeof digits, "%.1f", *value);
    }
    return digits;
}

std::string json(const ClockState &state) {
    return "{\"clock_mhz\": " + number(state.clock_mhz) +
           ", \"temperature_celsius\": " + number(state.temperature_celsius) + "}";
}

std::string json(const std::optional<bool> &value) { return value ? (*value ? "true" : "false") : "null"; }

void print_json(const conv2d::bench::Harness &harness) {
    std::printf("{\"version\": %s, \"machine\": {", quoted(CONV2D_VERSION).c_str());
    const char *separator = "";
    for (const auto &[name, value] : conv2d::bench::machine_state()) {
        std::printf("%s%s: %s", separator, quoted(name).c_str(), quoted(value).c_str());
        separator = ", ";
    }
    const std::string nothing = conv2d::bench::why_figures_mean_nothing();
    std::printf("}, \"emulated\": %s, \"results\": [", nothing.empty() ? "false" : "true");
    separator = "\n";
    for (const Result &result : harness.results()) {
        std::printf("%s  {\"name\": %s, \"path\": %s, \"calls\": %zu, \"batch\": %zu, \"min_us\": %.3f, \"p50_us\": "
                    "%.3f, \"p90_us\": "
                    "%.3f, \"p99_us\": %.3f, \"items\": %.0f, \"unit\": %s, \"throttled\": %s, \"before\": %s, "
                    "\"after\": %s}",
                    separator, quoted(result.name).c_str(), quoted(result.path).c_str(), result.calls, result.batch,
                    result.min_us, result.p50_us, result.p90_us, result.p99_us, result.items,
                    quoted(result.unit).c_str(), json(result.throttled()).c_str(), json(result.before).c_str(),
                    json(result.after).c_str());
        separator = ",\n";
    }
    std::printf("\n]}\n");
}

void print_table(const conv2d::bench::Harness &harness) {
    std::printf("conv2d %s\n", CONV2D_VERSION);
    for (const auto &[name, value] : conv2d::bench::machine_state()) {
        std::printf("%-26s %s\n", name.c_str(), value.c_str());
    }
    std::printf("\n%-44s %7s %8s %12s %12s %12s %12s %14s\n", "case", "path", "calls", "min us", "p50 us", "p90 us",
                "p99 us", "ns an item");
    for (const Result &result : harness.results()) {
        std::printf("%-44s %7s %8zu %12.3f %12.3f %12.3f %12.3f %10.3f / %s%s\n", result.name.c_str(),
                    result.path.c_str(), result.calls, result.min_us, result.p50_us, result.p90_us, result.p99_us,
                    1e3 * result.p50_us / result.items, result.unit.c_str(),
                    result.throttled().value_or(false) ? "  THROTTLED" : "");
    }
    if (const std::string nothing = conv2d::bench::why_figures_mean_nothing(); !nothing.empty()) {
        std::printf("\n%s\n", nothing.c_str());
    }
}

} // namespace

int main(int argc, char **argv) try {
    bool json = false;
    conv2d::bench::Options options;
    options.paths = {conv2d::simd_path()};
    for (int i = 1; i < argc; ++i) {
        const bool more = i + 1 < argc;
        if (std::strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (std::strcmp(argv[i], "--list") == 0) {
            options.list = true;
        } else if (std::strcmp(argv[i], "--paths") == 0) {
            options.paths = conv2d::simd_paths();
        } else if (std::strcmp(argv[i], "--simd") == 0 && more) {
            conv2d::use_simd_path(conv2d::simd_path_of(argv[++i]));
            options.paths = {conv2d::simd_path()};
        } else if (std::strcmp(argv[i], "--filter") == 0 && more) {
            options.filter = argv[++i];
        } else if (std::strcmp(argv[i], "--seconds") == 0 && more && std::atof(argv[i + 1]) > 0.0) {
            options.seconds = std::atof(argv[++i]);
        } else {
            std::fprintf(stderr, "conv2d_bench got '%s', expected %s", argv[i], kUsage);
            return 2;
        }
    }
    const bool list = options.list;
    conv2d::bench::Harness harness(std::move(options));
    conv2d::bench::bench_fsq(harness);
    conv2d::bench::bench_hsmm(harness);
    conv2d::bench::bench_smoothing(harness);
    if (!list) {
        json ? print_json(harness) : print_table(harness);
    }
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "conv2d_bench: %s\n", error.what());
    return 2;
}
