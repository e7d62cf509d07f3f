#include "harness.hpp"

#include "machine.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

namespace conv2d::bench {

std::optional<bool> Result::throttled() const {
    if (before.throttle_events && after.throttle_events && *after.throttle_events != *before.throttle_events) {
        return true;
    }
    if (before.throttled || after.throttled) {
        return before.throttled.value_or(false) || after.throttled.value_or(false);
    }
    return after.throttle_events ? std::optional(false) : std::nullopt;
}

void Harness::measure(const std::string &name, double items, const std::string &unit,
                      const std::function<void()> &work) {
    using Clock = std::chrono::steady_clock;
    constexpr std::size_t kFewest = 3;
    constexpr std::size_t kMost = 1'000'000;
    constexpr double kShortest = 2e-6; // seconds: a hundred times what reading the clock takes
    if (name.find(options_.filter) == std::string::npos) {
        return;
    }
    if (options_.list) {
        std::printf("%s\n", name.c_str());
        return;
    }
    const auto seconds_of = [&work](std::size_t calls) {
        const auto start = Clock::now();
        for (std::size_t call = 0; call < calls; ++call) {
            work();
        }
        return std::chrono::duration<double>(Clock::now() - start).count();
    };
    std::size_t batch = 1;
    for (const SimdPath path : options_.paths) {
        use_simd_path(path);
        work();
        while (seconds_of(batch) < kShortest) {
            batch *= 2;
        }
    }
    std::vector<std::vector<double>> times(options_.paths.size());
    const ClockState before = clock_state();
    const double budget = options_.seconds * static_cast<double>(options_.paths.size());
    const auto begin = Clock::now();
    const auto spent = [begin] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
    while (times[0].size() < kFewest || (spent() < budget && times[0].size() < kMost)) {
        for (std::size_t n = 0; n < times.size(); ++n) {
            use_simd_path(options_.paths[n]);
            times[n].push_back(1e6 * seconds_of(batch) / static_cast<double>(batch));
        }
    }
    const ClockState after = clock_state();
    for (std::size_t n = 0; n < times.size(); ++n) {
        auto &sorted = times[n];
        std::sort(sorted.begin(), sorted.end());
        const auto percentile = [&sorted](double share) { // nearest rank
            const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
            return sorted[std::max<std::size_t>(rank, 1) - 1];
        };
        results_.push_back({name, std::string(simd_name(options_.paths[n])), batch * sorted.size(), batch,
                            sorted.front(), percentile(0.5), percentile(0.9), percentile(0.99), items, unit, before,
                            after});
    }
}

} // namespace conv2d::bench
