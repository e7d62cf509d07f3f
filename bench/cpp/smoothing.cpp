#include "harness.hpp"

#include "conv2d/smoothing.hpp"

#include <memory>
#include <random>

namespace conv2d::bench {

void bench_smoothing(Harness &harness) {
    std::mt19937 random(1);
    for (const std::size_t samples : {std::size_t{1000}, std::size_t{1'000'000}}) {
        std::vector<std::int32_t> labels;
        while (labels.size() < samples) {
            labels.insert(labels.end(), 1 + random() % 12, static_cast<std::int32_t>(random() % 8));
        }
        labels.resize(samples);
        std::vector<double> p(samples);
        for (double &value : p) {
            value = static_cast<double>(random()) / 4294967296.0;
        }
        std::vector<std::int32_t> smoothed(samples);
        const std::unique_ptr<bool[]> on(new bool[samples]);
        const std::span<const std::int32_t> from(labels);
        const std::span<std::int32_t> to(smoothed);
        const std::string size = "/" + std::to_string(samples);
        const auto items = static_cast<double>(samples);
        for (const std::int64_t width : {std::int64_t{7}, std::int64_t{101}}) {
            harness.measure("mode_filter_" + std::to_string(width) + size, items, "sample", [&] {
                mode_filter(from, width, to);
                keep(smoothed);
            });
            harness.measure("median_filter_" + std::to_string(width) + size, items, "sample", [&] {
                median_filter(from, width, to);
                keep(smoothed);
            });
        }
        harness.measure("min_dwell_5" + size, items, "sample", [&] {
            min_dwell(from, 5, to);
            keep(smoothed);
        });
        harness.measure("hysteresis" + size, items, "sample", [&] {
            hysteresis(p, 0.8, 0.4, {on.get(), samples});
            keep(on);
        });
    }
}

} // namespace conv2d::bench
