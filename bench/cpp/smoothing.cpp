#include "harness.hpp"

#include "conv2d/smoothing.hpp"
#include "conv2d/smoothing_streams.hpp"

#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace conv2d::bench {
namespace {

template <typename Label>
void bench_labels(Harness &harness, const std::vector<std::uint8_t> &kinds, const std::string &size) {
    const std::vector<Label> labels(kinds.begin(), kinds.end());
    std::vector<Label> smoothed(labels.size());
    const std::span<const Label> from(labels);
    const std::span<Label> to(smoothed);
    const auto items = static_cast<double>(labels.size());
    const std::string end = "/" + std::string(sizeof(Label) == 1 ? "u8" : "i64") + size;
    for (const std::int64_t width : {7, 101}) {
        harness.measure("mode_filter_" + std::to_string(width) + end, items, "sample", [&] {
            mode_filter(from, width, to);
            keep(smoothed);
        });
        harness.measure("median_filter_" + std::to_string(width) + end, items, "sample", [&] {
            median_filter(from, width, to);
            keep(smoothed);
        });
    }
    harness.measure("min_dwell_5" + end, items, "sample", [&] {
        min_dwell(from, 5, to);
        keep(smoothed);
    });
    DwellStream<Label> stream(5);
    std::vector<Label> final;
    harness.measure("min_dwell_5_stream" + end, items, "sample", [&] {
        final.clear();
        stream.push(from, final);
        keep(final);
    });
}

template <typename Real>
void bench_switch(Harness &harness, std::mt19937 &random, std::size_t samples, const std::string &name) {
    std::vector<Real> p(samples);
    for (Real &value : p) {
        value = static_cast<Real>(static_cast<double>(random()) / 4294967296.0);
    }
    const std::unique_ptr<bool[]> on(new bool[samples]);
    harness.measure(name, static_cast<double>(samples), "sample", [&] {
        hysteresis(std::span<const Real>(p), 0.8, 0.4, {on.get(), samples});
        keep(on);
    });
}

} // namespace

void bench_smoothing(Harness &harness) {
    std::mt19937 random(1);
    for (const std::size_t samples : {std::size_t{1000}, std::size_t{1'000'000}}) {
        std::vector<std::uint8_t> kinds;
        while (kinds.size() < samples) {
            kinds.insert(kinds.end(), 1 + random() % 59, static_cast<std::uint8_t>(random() % 8));
        }
        kinds.resize(samples);
        const std::string size = "/" + std::to_string(samples);
        bench_labels<std::uint8_t>(harness, kinds, size);
        bench_labels<std::int64_t>(harness, kinds, size);
        bench_switch<float>(harness, random, samples, "hysteresis/f32" + size);
        bench_switch<double>(harness, random, samples, "hysteresis/f64" + size);
    }
}

} // namespace conv2d::bench
