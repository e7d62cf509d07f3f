// A measuring harness of a page: percentiles over single calls, and the state of the machine beside them.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace conv2d::bench {

struct Result {
    std::string name;
    std::size_t calls;
    double p50_us, p90_us, p99_us; // microseconds for one call
    double items;                  // work in one call, as `unit`
    std::string unit;
};

class Harness {
  public:
    Harness(double seconds_per_case, std::string filter)
        : seconds_per_case_(seconds_per_case), filter_(std::move(filter)) {}

    // Calls `work` until its time is up, at least 11 times after one call to warm up. Cases whose name does not hold
    // the filter are left out.
    template <typename Work> void measure(const std::string &name, double items, const std::string &unit, Work &&work) {
        using Clock = std::chrono::steady_clock;
        if (name.find(filter_) == std::string::npos) {
            return;
        }
        constexpr std::size_t kFewest = 11;
        constexpr std::size_t kMost = 1'000'000;
        work();
        std::vector<double> times;
        const auto begin = Clock::now();
        for (auto now = begin;
             times.size() < kFewest ||
             (std::chrono::duration<double>(now - begin).count() < seconds_per_case_ && times.size() < kMost);) {
            work();
            const auto done = Clock::now();
            times.push_back(std::chrono::duration<double, std::micro>(done - now).count());
            now = done;
        }
        std::sort(times.begin(), times.end());
        const auto percentile = [&times](double share) { // nearest rank
            const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(times.size())));
            return times[std::max<std::size_t>(rank, 1) - 1];
        };
        results_.push_back({name, times.size(), percentile(0.5), percentile(0.9), percentile(0.99), items, unit});
    }

    [[nodiscard]] const std::vector<Result> &results() const { return results_; }

  private:
    double seconds_per_case_;
    std::string filter_;
    std::vector<Result> results_;
};

// Keeps the compiler from dropping a result that nobody reads.
template <typename T> void keep(const T &value) { asm volatile("" : : "r"(&value) : "memory"); }

// What a figure depends on besides the code, as far as this machine tells: CPU model, cores, governor, clock,
// temperature, throttling flags (Raspberry Pi), load.
[[nodiscard]] std::map<std::string, std::string> machine_state();

void bench_fsq(Harness &harness);
void bench_hsmm(Harness &harness);
void bench_smoothing(Harness &harness);

} // namespace conv2d::bench
