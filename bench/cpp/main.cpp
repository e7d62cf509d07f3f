// conv2d_bench: how long the kernels take on this machine. Figures only; nothing here passes or fails.
#include "harness.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

using conv2d::bench::Result;

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

void print_json(const conv2d::bench::Harness &harness) {
    std::printf("{\"version\": %s, \"machine\": {", quoted(CONV2D_VERSION).c_str());
    const char *separator = "";
    for (const auto &[name, value] : conv2d::bench::machine_state()) {
        std::printf("%s%s: %s", separator, quoted(name).c_str(), quoted(value).c_str());
        separator = ", ";
    }
    std::printf("}, \"results\": [");
    separator = "\n";
    for (const Result &result : harness.results()) {
        std::printf("%s  {\"name\": %s, \"calls\": %zu, \"p50_us\": %.3f, \"p90_us\": %.3f, \"p99_us\": %.3f, "
                    "\"items\": %.0f, \"unit\": %s}",
                    separator, quoted(result.name).c_str(), result.calls, result.p50_us, result.p90_us, result.p99_us,
                    result.items, quoted(result.unit).c_str());
        separator = ",\n";
    }
    std::printf("\n]}\n");
}

void print_table(const conv2d::bench::Harness &harness) {
    for (const auto &[name, value] : conv2d::bench::machine_state()) {
        std::printf("%-26s %s\n", name.c_str(), value.c_str());
    }
    std::printf("\n%-44s %8s %12s %12s %12s %14s\n", "case", "calls", "p50 us", "p90 us", "p99 us", "ns an item");
    for (const Result &result : harness.results()) {
        std::printf("%-44s %8zu %12.2f %12.2f %12.2f %10.3f / %s\n", result.name.c_str(), result.calls, result.p50_us,
                    result.p90_us, result.p99_us, 1e3 * result.p50_us / result.items, result.unit.c_str());
    }
}

} // namespace

int main(int argc, char **argv) {
    bool json = false;
    double seconds = 0.5;
    std::string filter;
    for (int i = 1; i < argc; ++i) {
        const bool more = i + 1 < argc;
        if (std::strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (std::strcmp(argv[i], "--filter") == 0 && more) {
            filter = argv[++i];
        } else if (std::strcmp(argv[i], "--seconds") == 0 && more && std::atof(argv[i + 1]) > 0.0) {
            seconds = std::atof(argv[++i]);
        } else {
            std::fprintf(stderr, "conv2d_bench got '%s', expected [--json] [--filter PART_OF_A_NAME] [--seconds S]\n",
                         argv[i]);
            return 2;
        }
    }
    conv2d::bench::Harness harness(seconds, filter);
    conv2d::bench::bench_fsq(harness);
    conv2d::bench::bench_hsmm(harness);
    conv2d::bench::bench_smoothing(harness);
    json ? print_json(harness) : print_table(harness);
    return 0;
}
