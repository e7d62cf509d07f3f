// The filters of labels against slow ones, and their promises: no new label, no more transitions, no short segment.
#include "input.hpp"

#include "conv2d/smoothing.hpp"

#include <map>
#include <memory>

using namespace conv2d;
using namespace conv2d::fuzz;

namespace {

template <typename Label> std::size_t transitions(const std::vector<Label> &labels) {
    std::size_t count = 0;
    for (std::size_t t = 1; t < labels.size(); ++t) {
        count += labels[t] != labels[t - 1] ? 1u : 0u;
    }
    return count;
}

// The window of a sample, both ends continued by their own label, sorted.
template <typename Label>
std::vector<Label> window_of(const std::vector<Label> &labels, std::size_t t, std::int64_t width) {
    std::vector<Label> window;
    const auto last = static_cast<std::int64_t>(labels.size()) - 1;
    for (std::int64_t i = -(width / 2); i <= width / 2; ++i) {
        const auto place = std::clamp<std::int64_t>(static_cast<std::int64_t>(t) + i, 0, last);
        window.push_back(labels[static_cast<std::size_t>(place)]);
    }
    std::sort(window.begin(), window.end());
    return window;
}

template <typename Label> Label mode_of(const std::vector<Label> &window, Label own) {
    std::map<Label, std::size_t> counts;
    for (const Label label : window) {
        ++counts[label];
    }
    Label best = own;
    for (const auto &[label, count] : counts) {
        best = count > counts[best] ? label : best;
    }
    return best;
}

template <typename Label> std::vector<Label> plain_min_dwell(std::vector<Label> labels, std::int64_t min_frames) {
    for (;;) {
        std::vector<std::size_t> starts;
        for (std::size_t t = 0; t < labels.size(); ++t) {
            if (t == 0 || labels[t] != labels[t - 1]) {
                starts.push_back(t);
            }
        }
        starts.push_back(labels.size());
        std::size_t shortest = 0; // no inner segment is the first one
        for (std::size_t n = 1; n + 2 < starts.size(); ++n) {
            if (shortest == 0 || starts[n + 1] - starts[n] < starts[shortest + 1] - starts[shortest]) {
                shortest = n;
            }
        }
        if (shortest == 0 || starts[shortest + 1] - starts[shortest] >= static_cast<std::size_t>(min_frames)) {
            return labels;
        }
        const bool earlier = starts[shortest] - starts[shortest - 1] >= starts[shortest + 2] - starts[shortest + 1];
        const Label label = earlier ? labels[starts[shortest] - 1] : labels[starts[shortest + 1]];
        std::fill(labels.begin() + static_cast<std::ptrdiff_t>(starts[shortest]),
                  labels.begin() + static_cast<std::ptrdiff_t>(starts[shortest + 1]), label);
    }
}

template <typename Label> void check_labels(Input &input) {
    std::vector<Label> labels;
    const std::size_t kinds = input.flag() ? input.between(1, 3) : input.between(1, 255);
    const std::size_t segments = input.below(120);
    const bool extreme = input.below(8) == 0;
    for (std::size_t n = 0; n < segments; ++n) {
        const auto kind = static_cast<std::int64_t>(input.below(kinds)) - 2; // wraps around in bytes
        auto label = static_cast<Label>(kind);
        if (extreme && kind < 0) {
            label = kind == -1 ? std::numeric_limits<Label>::min() : std::numeric_limits<Label>::max();
        }
        labels.insert(labels.end(), input.between(1, input.flag() ? 3 : 60), label);
    }
    const auto width = static_cast<std::int64_t>(input.flag() ? 7 : input.below(140)) - 3;
    std::vector<Label> smoothed(labels.size());
    const std::span<const Label> from(labels);
    const std::span<Label> to(smoothed);
    const auto promised = [&](const char *name) {
        expect(transitions(smoothed) <= transitions(labels), std::string(name) + " adds no transition");
        for (const Label label : smoothed) {
            expect(std::find(labels.begin(), labels.end(), label) != labels.end(),
                   std::string(name) + " has no new label");
        }
    };
    for (const bool mode : {true, false}) {
        const Outcome outcome = on_every_path([&] {
            mode ? mode_filter(from, width, to) : median_filter(from, width, to);
            Words words;
            append(words, smoothed);
            return words;
        });
        expect(outcome.refused.empty() == (width >= 1 && width % 2 == 1), "that a width is odd");
        if (!outcome.refused.empty()) {
            continue;
        }
        promised(mode ? "the mode filter" : "the median filter");
        std::vector<Label> expected;
        for (std::size_t t = 0; t < labels.size(); ++t) {
            const auto window = window_of(labels, t, width);
            expected.push_back(mode ? mode_of(window, labels[t]) : window[window.size() / 2]);
        }
        if (transitions(expected) <= transitions(labels)) {
            expect(smoothed == expected, mode ? "the mode of each window" : "the median of each window");
        }
    }
    const auto min_frames = static_cast<std::int64_t>(input.below(80)) - 1;
    const Outcome outcome = on_every_path([&] {
        min_dwell(from, min_frames, to);
        Words words;
        append(words, smoothed);
        return words;
    });
    expect(outcome.refused.empty() == (min_frames >= 1), "that min_frames is positive");
    if (outcome.refused.empty()) {
        promised("min_dwell");
        expect(smoothed == plain_min_dwell(labels, min_frames), "min_dwell merges the shortest first");
    }
}

template <typename Real> void check_hysteresis(Input &input) {
    std::vector<Real> p(input.below(600));
    const bool coarse = input.flag();
    for (Real &value : p) {
        value = static_cast<Real>(coarse ? static_cast<double>(input.below(9)) / 8.0 : input.real(-0.5, 1.5));
    }
    if (!p.empty() && input.below(8) == 0) { // NaN, infinities, anything
        p[input.below(p.size())] = static_cast<Real>(std::bit_cast<double>(input.bits(8)));
    }
    const double enter = coarse ? static_cast<double>(input.below(9)) / 8.0 : input.real(0.0, 1.0);
    const double exit = input.below(4) == 0 ? enter : enter - input.real(-0.1, 0.6);
    const std::unique_ptr<bool[]> on(new bool[p.size() + 1]);
    const Outcome outcome = on_every_path([&] {
        hysteresis(std::span<const Real>(p), enter, exit, {on.get(), p.size()});
        Words words;
        for (std::size_t t = 0; t < p.size(); ++t) {
            words.push_back(on[t] ? 1u : 0u);
        }
        return words;
    });
    const bool numbers = std::none_of(p.begin(), p.end(), [](Real value) { return is_nan(value); });
    expect(outcome.refused.empty() == (numbers && enter >= exit), "that NaN and crossed thresholds are refused");
    bool state = false;
    for (std::size_t t = 0; t < p.size() && outcome.refused.empty(); ++t) {
        state = p[t] >= enter || (state && p[t] >= exit);
        expect(on[t] == state, "that the switch follows its thresholds");
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    Input input(data, size);
    switch (input.below(7)) {
    case 0:
        check_labels<std::int64_t>(input);
        break;
    case 1:
        check_labels<std::int32_t>(input);
        break;
    case 2:
        check_labels<std::int16_t>(input);
        break;
    case 3:
        check_labels<std::int8_t>(input);
        break;
    case 4:
        check_labels<std::uint8_t>(input);
        break;
    case 5:
        check_hysteresis<float>(input);
        break;
    default:
        check_hysteresis<double>(input);
    }
    return 0;
}
