// A measuring harness of a page: percentiles over single calls, on one SIMD path or on all of them in turns, with the
// state of the machine's clock around every case.
#pragma once

#include "conv2d/simd.hpp"

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace conv2d::bench {

// What slows a processor down while it is measured. Empty where the machine does not tell.
struct ClockState {
    std::optional<double> clock_mhz;
    std::optional<double> temperature_celsius;
    std::optional<bool> throttled;       // now: power, heat or a cap on the clock (Raspberry Pi)
    std::optional<long> throttle_events; // since the machine started (x86)
};

struct Result {
    std::string name;
    std::string path; // SIMD path
    std::size_t calls;
    std::size_t batch;                     // calls that are timed together, as one of them is too short for the clock
    double min_us, p50_us, p90_us, p99_us; // microseconds for one call
    double items;                          // work in one call, as `unit`
    std::string unit;
    ClockState before, after;

    // Whether the machine slowed itself down at the time, where it tells.
    [[nodiscard]] std::optional<bool> throttled() const;
};

struct Options {
    double seconds = 0.5; // a case and path
    std::string filter;   // part of a name
    std::vector<SimdPath> paths;
    bool list = false; // names only
};

class Harness {
  public:
    explicit Harness(Options options) : options_(std::move(options)) {}

    // Calls `work` until its time is up, at least 3 times on each path after a call to warm up. Paths take turns call
    // by call, so that what else the machine does falls on all of them alike. A name without the filter is left out.
    void measure(const std::string &name, double items, const std::string &unit, const std::function<void()> &work);

    [[nodiscard]] const std::vector<Result> &results() const { return results_; }

  private:
    Options options_;
    std::vector<Result> results_;
};

// Keeps the compiler from dropping a result that nobody reads.
template <typename T> void keep(const T &value) { asm volatile("" : : "r"(&value) : "memory"); }

void bench_fsq(Harness &harness);
void bench_hsmm(Harness &harness);
void bench_smoothing(Harness &harness);

} // namespace conv2d::bench
