#include "smoothing_windows.hpp"

#include "smoothing_counts.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace conv2d::detail {
namespace {

// ---- windows of up to kShortWindow samples, by byte kernels --------------------------------------------------------

constexpr std::size_t kBlock = 4096;
using Window = simd::SmoothingKernels::Window;

// Calls part(begin, end, at) for the samples begin .. end-1, which stand at place `at` of the places lo .. hi-1, then
// pad(sample, at, count) for the places before and behind the sequence of n samples.
template <typename Part, typename Pad>
void clamped(std::size_t n, std::ptrdiff_t lo, std::ptrdiff_t hi, Part part, Pad pad) {
    const auto end = static_cast<std::ptrdiff_t>(n);
    const auto before = static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, -lo));
    const auto behind = static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, hi - end));
    const auto from = static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, lo));
    const auto to = static_cast<std::size_t>(std::min(end, hi));
    part(from, to, before);
    pad(0, 0, before);
    pad(n - 1, before + (to - from), behind);
}

// A block whose labels lie more than 255 apart, in pieces that hold at most 256 labels: their ranks are bytes.
template <typename Label> void filter_ranked(Window filter, std::span<const Label> labels, std::size_t first,
                                             std::size_t last, std::size_t width, Label *to) {
    const std::size_t reach = width / 2;
    const std::size_t piece = kBytes - 2 * reach;
    std::array<Label, kBytes> window;
    std::array<Label, kBytes> values;
    std::array<std::uint8_t, kBytes> ranks;
    std::array<std::uint8_t, kBytes> filtered;
    for (std::size_t begin = first; begin < last; begin += piece) {
        const std::size_t n = std::min(piece, last - begin);
        const std::size_t held = n + 2 * reach;
        const auto lo = static_cast<std::ptrdiff_t>(begin) - static_cast<std::ptrdiff_t>(reach);
        clamped(
            labels.size(), lo, lo + static_cast<std::ptrdiff_t>(held),
            [&](std::size_t from, std::size_t end, std::size_t at) {
                std::copy(labels.data() + from, labels.data() + end, window.data() + at);
            },
            [&](std::size_t sample, std::size_t at, std::size_t count) {
                std::fill_n(window.data() + at, count, labels[sample]);
            });
        Label *const end = std::unique_copy(window.data(), window.data() + held, values.data());
        std::sort(values.data(), end);
        Label *const different = std::unique(values.data(), end);
        for (std::size_t i = 0; i < held; ++i) {
            ranks[i] =
                i > 0 && window[i] == window[i - 1]
                    ? ranks[i - 1]
                    : static_cast<std::uint8_t>(std::lower_bound(values.data(), different, window[i]) - values.data());
        }
        filter(ranks.data() + reach, n, width, filtered.data());
        for (std::size_t i = 0; i < n; ++i) {
            to[begin - first + i] = values[filtered[i]];
        }
    }
}

// At most kBlock samples: the labels become bytes on the way into a buffer, and labels again on the way out.
template <typename Label> void filter_block(const simd::LabelKernels<Label> &of, Window filter,
                                            std::span<const Label> labels, std::size_t first, std::size_t last,
                                            std::size_t width, Label *to) {
    std::array<std::uint8_t, kBlock + simd::kShortWindow> window;
    std::array<std::uint8_t, kBlock> filtered;
    const std::size_t reach = width / 2;
    const std::size_t n = last - first;
    const auto lo = static_cast<std::ptrdiff_t>(first) - static_cast<std::ptrdiff_t>(reach);
    Label smallest = 0;
    bool fits = true;
    clamped(
        labels.size(), lo, lo + static_cast<std::ptrdiff_t>(n + 2 * reach),
        [&](std::size_t from, std::size_t end, std::size_t at) {
            fits = of.fits_byte(labels.data() + from, end - from, &smallest);
            of.narrow(labels.data() + from, end - from, smallest, window.data() + at);
        },
        [&](std::size_t sample, std::size_t at, std::size_t count) {
            if (count > 0) { // labels[sample] is among those of the part
                const auto byte = static_cast<std::uint8_t>(static_cast<std::uint64_t>(labels[sample]) -
                                                            static_cast<std::uint64_t>(smallest));
                std::fill_n(window.data() + at, count, byte);
            }
        });
    if (!fits) {
        filter_ranked(filter, labels, first, last, width, to);
        return;
    }
    filter(window.data() + reach, n, width, filtered.data());
    of.widen(filtered.data(), n, smallest, to);
}

template <typename Label> void filter_short(const simd::SmoothingKernels &kernels, Window filter,
                                            std::span<const Label> labels, std::size_t first, std::size_t last,
                                            std::size_t width, Label *to) {
    const auto &of = simd::label_kernels<Label>(kernels);
    const std::size_t reach = width / 2;
    std::size_t t = first;
    const auto by_blocks = [&](std::size_t end) {
        while (t < end) {
            const std::size_t stop = std::min(end, t + kBlock);
            filter_block(of, filter, labels, t, stop, width, to + (t - first));
            t = stop;
        }
    };
    if constexpr (sizeof(Label) == 1 && std::is_unsigned_v<Label>) {
        // Bytes as they are, but for those whose window reaches beyond an end.
        const std::size_t inner = std::min(last, labels.size() - std::min(labels.size(), reach));
        by_blocks(std::min(last, reach));
        if (t < inner) {
            filter(labels.data() + t, inner - t, width, to + (t - first));
            t = inner;
        }
    }
    by_blocks(last);
}

// ---- longer windows, by counts of what is in them ------------------------------------------------------------------

// codes[0 .. n-1] are the samples that the windows around first .. last-1 see, places counted from codes[0]; beyond
// either end its own code goes on. write(t, code) takes what stands in the window around t.
template <typename Counts, typename Code, typename Write>
void slide(const Code *codes, std::size_t n, std::size_t first, std::size_t last, std::uint64_t width,
           std::size_t different, Write write) {
    Counts counts(different, width);
    const std::uint64_t reach = width / 2;
    const std::uint64_t end = n - 1;
    counts.add(codes[0], reach > first ? reach - first : 0);
    for (std::uint64_t t = first > reach ? first - reach : 0; t <= (end - first < reach ? end : first + reach); ++t) {
        counts.add(codes[t], 1);
    }
    counts.add(codes[end], reach > end - first ? reach - (end - first) : 0);
    for (std::size_t t = first; t < last; ++t) {
        write(t, counts.label(codes[t]));
        const Code out = codes[t > reach ? t - reach : 0];
        const Code in = codes[end - t > reach ? t + reach + 1 : end];
        if (in != out) {
            counts.add(in, 1);
            counts.add(out, ~std::uint64_t{0});
        }
    }
}

template <typename Label> void filter_long(const simd::SmoothingKernels &kernels, WindowStatistic statistic,
                                           std::span<const Label> labels, std::size_t first, std::size_t last,
                                           std::uint64_t width, Label *to, WindowScratch<Label> &scratch) {
    const std::uint64_t reach = width / 2;
    const std::size_t lo = first > reach ? first - reach : 0;
    const std::size_t hi = labels.size() - last > reach ? last + reach : labels.size();
    const std::span<const Label> seen = labels.subspan(lo, hi - lo);
    const auto with = [&](auto mode, auto median, const auto *codes, std::size_t different, auto label_of) {
        const auto write = [&](std::size_t t, std::size_t code) { to[t - (first - lo)] = label_of(code); };
        if (statistic == WindowStatistic::mode) {
            slide<typename decltype(mode)::type>(codes, seen.size(), first - lo, last - lo, width, different, write);
        } else {
            slide<typename decltype(median)::type>(codes, seen.size(), first - lo, last - lo, width, different, write);
        }
    };
    constexpr auto kByteMode = std::type_identity<ByteMode>{};
    constexpr auto kByteMedian = std::type_identity<ByteMedian>{};

    const auto &of = simd::label_kernels<Label>(kernels);
    Label smallest = 0;
    if (of.fits_byte(seen.data(), seen.size(), &smallest)) {
        scratch.bytes.resize(seen.size());
        of.narrow(seen.data(), seen.size(), smallest, scratch.bytes.data());
        const std::size_t different = *std::max_element(scratch.bytes.begin(), scratch.bytes.end()) + std::size_t{1};
        with(kByteMode, kByteMedian, scratch.bytes.data(), different,
             [smallest](std::size_t code) { return static_cast<Label>(smallest + static_cast<Label>(code)); });
        return;
    }
    std::vector<Label> &values = scratch.values;
    values.clear();
    std::unique_copy(seen.begin(), seen.end(), std::back_inserter(values));
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    const auto value = [&values](std::size_t code) { return values[code]; };
    const auto rank_into = [&](auto &codes) {
        using Code = typename std::remove_reference_t<decltype(codes)>::value_type;
        codes.resize(seen.size());
        for (std::size_t t = 0; t < seen.size(); ++t) {
            codes[t] =
                t > 0 && seen[t] == seen[t - 1]
                    ? codes[t - 1]
                    : static_cast<Code>(std::lower_bound(values.begin(), values.end(), seen[t]) - values.begin());
        }
    };
    if (values.size() <= kBytes) {
        rank_into(scratch.bytes);
        with(kByteMode, kByteMedian, scratch.bytes.data(), values.size(), value);
    } else {
        rank_into(scratch.ranks);
        with(std::type_identity<TreeMode>{}, std::type_identity<TreeMedian>{}, scratch.ranks.data(), values.size(),
             value);
    }
}

} // namespace

void check_width(std::int64_t width) {
    if (width < 1 || width % 2 == 0) {
        throw std::invalid_argument("width is " + std::to_string(width) + ", expected an odd number of samples from 1");
    }
}

template <typename Label> void filter_windows(const simd::SmoothingKernels &kernels, WindowStatistic statistic,
                                              std::span<const Label> labels, std::size_t first, std::size_t last,
                                              std::uint64_t width, Label *to, WindowScratch<Label> &scratch) {
    if (first == last) {
        return;
    }
    if (width <= simd::kShortWindow) {
        const Window filter = statistic == WindowStatistic::mode ? kernels.mode : kernels.median;
        filter_short(kernels, filter, labels, first, last, width, to);
    } else {
        filter_long(kernels, statistic, labels, first, last, width, to, scratch);
    }
}

#define CONV2D_FOR(Label)                                                                                              \
    template void filter_windows(const simd::SmoothingKernels &, WindowStatistic, std::span<const Label>, std::size_t, \
                                 std::size_t, std::uint64_t, Label *, WindowScratch<Label> &);
CONV2D_FOR(std::uint8_t)
CONV2D_FOR(std::int8_t)
CONV2D_FOR(std::int16_t)
CONV2D_FOR(std::int32_t)
CONV2D_FOR(std::int64_t)
#undef CONV2D_FOR

} // namespace conv2d::detail
