#include "check.hpp"

#include "conv2d/simd.hpp"
#include "conv2d/smoothing.hpp"
#include "conv2d/smoothing_streams.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <vector>

using namespace conv2d;

namespace {

template <typename Label> std::vector<Label> random_labels(std::mt19937 &random, std::size_t samples, int kinds) {
    std::vector<Label> labels;
    while (labels.size() < samples) {
        labels.insert(labels.end(), 1 + random() % 7, static_cast<Label>(random() % static_cast<unsigned>(kinds)));
    }
    labels.resize(samples);
    return labels;
}

template <typename Label> struct Smoothed {
    std::vector<Label> mode, median, dwell;
    bool operator==(const Smoothed &) const = default;
};

template <typename Label>
Smoothed<Label> smooth(const std::vector<Label> &labels, std::int64_t width, std::int64_t frames) {
    const std::span<const Label> from(labels);
    Smoothed<Label> to{std::vector<Label>(labels.size()), std::vector<Label>(labels.size()),
                       std::vector<Label>(labels.size())};
    mode_filter(from, width, std::span<Label>(to.mode));
    median_filter(from, width, std::span<Label>(to.median));
    min_dwell(from, frames, std::span<Label>(to.dwell));
    return to;
}

template <typename Label> void check_paths(int kinds) {
    const SimdPath before = simd_path();
    std::mt19937 random(11);
    for (int round = 0; round < 400; ++round) {
        const auto labels = random_labels<Label>(random, random() % 400, kinds);
        const auto width = static_cast<std::int64_t>(2 * (random() % 12) + 1);
        const auto frames = static_cast<std::int64_t>(1 + random() % 9);
        use_simd_path(SimdPath::scalar);
        const auto scalar = smooth(labels, width, frames);
        for (const SimdPath path : simd_paths()) {
            use_simd_path(path);
            CHECK(smooth(labels, width, frames) == scalar);
        }
    }
    use_simd_path(before);
}

} // namespace

TEST_CASE("smoothing_paths: every path gives the same labels, of every type") {
    check_paths<std::uint8_t>(2);
    check_paths<std::uint8_t>(256);
    check_paths<std::int8_t>(256);
    check_paths<std::int16_t>(300);
    check_paths<std::int32_t>(5);
    check_paths<std::int64_t>(100000);
}

TEST_CASE("smoothing_paths: every path switches the same") {
    const SimdPath before = simd_path();
    std::mt19937 random(12);
    for (int round = 0; round < 400; ++round) {
        std::vector<float> p(random() % 300);
        for (float &value : p) {
            value = static_cast<float>(random() % 16) / 16.0f;
        }
        const std::vector<double> wide(p.begin(), p.end());
        const std::unique_ptr<bool[]> on(new bool[p.size() + 1]);
        bool state = false;
        std::vector<bool> expected;
        for (const double value : wide) {
            state = value >= 0.7 || (state && value >= 0.3);
            expected.push_back(state);
        }
        for (const SimdPath path : simd_paths()) {
            use_simd_path(path);
            hysteresis(std::span<const float>(p), 0.7, 0.3, {on.get(), p.size()});
            CHECK(std::vector<bool>(on.get(), on.get() + p.size()) == expected);
            hysteresis(std::span<const double>(wide), 0.7, 0.3, {on.get(), p.size()});
            CHECK(std::vector<bool>(on.get(), on.get() + p.size()) == expected);
        }
    }
    use_simd_path(before);
}

TEST_CASE("smoothing_paths: min_dwell in pieces is min_dwell, also when it goes on from a saved state") {
    std::mt19937 random(13);
    for (int round = 0; round < 4000; ++round) {
        const auto labels = random_labels<std::int16_t>(random, random() % 120, 1 + static_cast<int>(random() % 4));
        const auto frames = static_cast<std::int64_t>(1 + random() % 12);
        std::vector<std::int16_t> whole(labels.size());
        min_dwell(std::span<const std::int16_t>(labels), frames, std::span<std::int16_t>(whole));
        DwellStream<std::int16_t> stream(frames);
        std::vector<std::int16_t> given;
        for (std::size_t t = 0; t < labels.size();) {
            const std::size_t n = std::min<std::size_t>(random() % 9, labels.size() - t);
            stream.push(std::span<const std::int16_t>(labels).subspan(t, n), given);
            CHECK(given.size() + stream.waiting() == t + n);
            CHECK(stream.waiting_segments() <= static_cast<std::size_t>(2 * frames + 2));
            t += n;
            stream = DwellStream<std::int16_t>::restore(stream.save());
        }
        stream.flush(given);
        CHECK(given == whole);
        CHECK(stream.waiting() == 0);
    }
}

TEST_CASE("smoothing_paths: the chain that waits longest stays within its bound") {
    // Ever shorter segments two places apart, long ones between them: each waits for the next.
    for (const std::int64_t frames : {4, 9, 30}) {
        std::vector<std::int32_t> labels(200, 0);
        DwellStream<std::int32_t> stream(frames);
        std::int32_t label = 0;
        for (int repeat = 0; repeat < 5; ++repeat) {
            for (std::int64_t length = frames - 1; length >= 1; --length) {
                labels.insert(labels.end(), static_cast<std::size_t>(length), ++label);
                labels.insert(labels.end(), 100 - static_cast<std::size_t>(length), ++label);
            }
        }
        std::vector<std::int32_t> given;
        for (std::size_t t = 0; t < labels.size(); ++t) {
            stream.push(std::span<const std::int32_t>(labels).subspan(t, 1), given);
            CHECK(stream.waiting_segments() <= static_cast<std::size_t>(2 * frames + 2));
        }
        stream.flush(given);
        std::vector<std::int32_t> whole(labels.size());
        min_dwell(std::span<const std::int32_t>(labels), frames, std::span<std::int32_t>(whole));
        CHECK(given == whole);
    }
}

TEST_CASE("smoothing_paths: min_dwell may write where it reads") {
    std::mt19937 random(14);
    for (int round = 0; round < 20; ++round) {
        auto labels = random_labels<std::uint8_t>(random, 50'000, 4);
        std::vector<std::uint8_t> apart(labels.size());
        min_dwell(std::span<const std::uint8_t>(labels), 5, std::span<std::uint8_t>(apart));
        min_dwell(std::span<const std::uint8_t>(labels), 5, std::span<std::uint8_t>(labels));
        CHECK(labels == apart);
    }
}
