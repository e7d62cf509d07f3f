#include "conv2d/smoothing.hpp"

#include "smoothing_hysteresis.hpp"
#include "smoothing_runs.hpp"
#include "smoothing_windows.hpp"

#include "conv2d/numeric.hpp"

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

namespace conv2d {
namespace {

// A part that stays in the first cache together with what becomes of it.
template <typename Label> constexpr std::size_t kPart = 16384 / sizeof(Label);

template <typename Label>
void filter(WindowStatistic statistic, std::span<const Label> labels, std::int64_t width, std::span<Label> smoothed) {
    detail::check_width(width);
    const simd::SmoothingKernels &kernels = simd::smoothing_kernels();
    const auto changes = simd::label_kernels<Label>(kernels).changes;
    const auto span = static_cast<std::uint64_t>(width);
    const std::size_t n = labels.size();
    // A part of a long window counts what stands before it: parts of several widths keep that below the rest.
    const std::size_t part =
        span <= simd::kShortWindow
            ? kPart<Label>
            : static_cast<std::size_t>(std::max<std::uint64_t>(kPart<Label>, std::min<std::uint64_t>(n, span) * 4));
    detail::WindowScratch<Label> scratch;
    std::size_t given = 0;
    std::size_t left = 0;
    for (std::size_t first = 0; first < n; first += part) {
        const std::size_t last = std::min(n, first + part);
        detail::filter_windows(kernels, statistic, labels, first, last, span, smoothed.data() + first, scratch);
        const std::size_t inner = std::max<std::size_t>(first, 1); // the first sample has none before it
        given += changes(labels.data() + inner, last - inner);
        left += changes(smoothed.data() + inner, last - inner);
    }
    if (left > given) {
        std::vector<detail::Run<Label>> runs;
        detail::append_runs(kernels, smoothed.data(), n, runs);
        detail::merge_down_to(given + 1, runs);
        Label *to = smoothed.data();
        for (const auto &run : runs) {
            to = std::fill_n(to, run.length, run.label);
        }
    }
}

} // namespace

template <typename Label>
void mode_filter(std::span<const Label> labels, std::int64_t width, std::span<Label> smoothed) {
    filter(WindowStatistic::mode, labels, width, smoothed);
}

template <typename Label>
void median_filter(std::span<const Label> labels, std::int64_t width, std::span<Label> smoothed) {
    filter(WindowStatistic::median, labels, width, smoothed);
}

template <typename Label>
void min_dwell(std::span<const Label> labels, std::int64_t min_frames, std::span<Label> smoothed) {
    detail::check_min_frames(min_frames);
    const simd::SmoothingKernels &kernels = simd::smoothing_kernels();
    detail::DwellQueue<Label> queue(static_cast<std::uint64_t>(min_frames));
    Label *to = smoothed.data();
    const Label *read = smoothed.data(); // up to here what stood there is no longer needed, if it is `labels`
    const auto write = [&to, &read](Label label, std::uint64_t length) {
        constexpr std::size_t kChunk = 64 / sizeof(Label);
        if (length <= 8 * kChunk && static_cast<std::size_t>(read - to) >= length + kChunk) {
            // Whole chunks, a few samples too many: what comes next overwrites them.
            for (std::size_t i = 0; i < length; i += kChunk) {
                std::fill_n(to + i, kChunk, label);
            }
            to += length;
        } else {
            to = std::fill_n(to, length, label);
        }
    };
    for (std::size_t t = 0; t < labels.size(); t += kPart<Label>) {
        const std::size_t part = std::min(kPart<Label>, labels.size() - t);
        queue.push(kernels, labels.data() + t, part);
        read += part;
        queue.settle(false, write);
    }
    queue.finish(write);
}

#define CONV2D_FOR(Label)                                                                                              \
    template void mode_filter(std::span<const Label>, std::int64_t, std::span<Label>);                                 \
    template void median_filter(std::span<const Label>, std::int64_t, std::span<Label>);                               \
    template void min_dwell(std::span<const Label>, std::int64_t, std::span<Label>);
CONV2D_FOR(std::uint8_t)
CONV2D_FOR(std::int8_t)
CONV2D_FOR(std::int16_t)
CONV2D_FOR(std::int32_t)
CONV2D_FOR(std::int64_t)
#undef CONV2D_FOR

namespace detail {

void check_min_frames(std::int64_t min_frames) {
    if (min_frames < 1) {
        throw std::invalid_argument("min_frames is " + std::to_string(min_frames) + ", expected at least 1");
    }
}

void check_thresholds(double enter, double exit) {
    if (!(enter >= exit)) { // also when either is NaN
        throw std::invalid_argument("enter is " + std::to_string(enter) + " and exit is " + std::to_string(exit) +
                                    ", expected enter >= exit");
    }
}

float not_below(double threshold) {
    using Limits = std::numeric_limits<float>;
    if (threshold > static_cast<double>(Limits::max())) {
        return Limits::infinity();
    }
    if (threshold < static_cast<double>(Limits::lowest())) {
        return std::isinf(threshold) ? -Limits::infinity() : Limits::lowest();
    }
    const auto nearest = static_cast<float>(threshold);
    return static_cast<double>(nearest) >= threshold ? nearest : std::nextafter(nearest, Limits::infinity());
}

namespace {

template <typename Real, typename Kernel>
bool run_switch(Kernel kernel, std::span<const Real> p, Real enter, Real exit, bool state, std::span<bool> on) {
    const std::size_t row = kernel(p.data(), p.size(), enter, exit, on.data(), &state);
    if (row < p.size()) {
        throw std::invalid_argument("p row " + std::to_string(row) + " is nan, expected numbers");
    }
    return state;
}

} // namespace

bool switch_states(std::span<const double> p, double enter, double exit, bool state, std::span<bool> on) {
    return run_switch(simd::smoothing_kernels().switch_f64, p, enter, exit, state, on);
}

bool switch_states(std::span<const float> p, double enter, double exit, bool state, std::span<bool> on) {
    return run_switch(simd::smoothing_kernels().switch_f32, p, not_below(enter), not_below(exit), state, on);
}

} // namespace detail

void hysteresis(std::span<const double> p, double enter, double exit, std::span<bool> on) {
    detail::check_thresholds(enter, exit);
    static_cast<void>(detail::switch_states(p, enter, exit, false, on));
}

void hysteresis(std::span<const float> p, double enter, double exit, std::span<bool> on) {
    detail::check_thresholds(enter, exit);
    static_cast<void>(detail::switch_states(p, enter, exit, false, on));
}

} // namespace conv2d
