#include "check.hpp"

#include "conv2d/fsq.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <thread>
#include <vector>

using namespace conv2d;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::int64_t encode_one(float z, std::int64_t levels) {
    const FsqLattice fsq(std::vector<std::int64_t>{levels});
    std::int64_t code = -1;
    fsq.encode<std::int64_t>({&z, 1, 1}, {&code, 1});
    return code;
}

} // namespace

TEST_CASE("fsq: many threads may ask for thresholds that nobody had before") { // the first case, so that it is true
    std::vector<std::vector<float>> seen(4);
    std::vector<std::thread> threads;
    for (auto &thresholds : seen) {
        threads.emplace_back([&thresholds] {
            for (std::int64_t levels = kMinLevels; levels < 40; ++levels) {
                const auto found = fsq_thresholds(levels);
                thresholds.insert(thresholds.end(), found.begin(), found.end());
            }
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    CHECK(std::all_of(seen.begin(), seen.end(), [&](const auto &thresholds) { return thresholds == seen.front(); }));
}

TEST_CASE("fsq: NaN is told by its bits") {
    CHECK(is_nan(std::nanf("")));
    CHECK(is_nan(-std::nanf("1")));
    CHECK(is_nan(std::nan("")));
    CHECK(!is_nan(kInfinity));
    CHECK(!is_nan(-std::numeric_limits<double>::infinity()));
    CHECK(!is_nan(0.0f));
}

TEST_CASE("fsq: thresholds ascend, and the reference steps exactly there") {
    for (std::int64_t levels = kMinLevels; levels <= kMaxLevels; ++levels) {
        const auto thresholds = fsq_thresholds(levels);
        REQUIRE(thresholds.size() == static_cast<std::size_t>(levels - 1));
        CHECK(std::adjacent_find(thresholds.begin(), thresholds.end(), std::greater_equal<>{}) == thresholds.end());
        for (std::size_t i = 0; i < thresholds.size(); ++i) {
            const auto digit = static_cast<std::int64_t>(i) + 1;
            CHECK(fsq_reference_digit(thresholds[i], levels) == digit);
            CHECK(fsq_reference_digit(std::nextafter(thresholds[i], -kInfinity), levels) == digit - 1);
        }
    }
}

TEST_CASE("fsq: codes equal the reference on random, tiny, huge and infinite values") {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0.0f, 2.0f);
    for (const std::int64_t levels : {2, 3, 4, 5, 7, 8, 16, 255}) {
        std::vector<float> values{0.0f, -0.0f, kInfinity, -kInfinity, 1e-45f, -1e-45f, 3e38f, -3e38f};
        for (int i = 0; i < 2000; ++i) {
            values.push_back(normal(random));
        }
        for (const float threshold : fsq_thresholds(levels)) {
            values.insert(values.end(), {threshold, std::nextafter(threshold, kInfinity), -threshold});
        }
        for (const float z : values) {
            CHECK(encode_one(z, levels) == fsq_reference_digit(z, levels));
        }
        CHECK(encode_one(-kInfinity, levels) == 0);
        CHECK(encode_one(kInfinity, levels) == levels - 1);
    }
}

TEST_CASE("fsq: every code survives decoding and encoding of a value in its cell") {
    const std::vector<std::int64_t> levels{8, 5, 3, 2};
    const FsqLattice fsq(levels);
    REQUIRE(fsq.size() == 240);
    std::vector<std::int64_t> codes(fsq.size());
    std::vector<float> values(fsq.size() * levels.size());
    for (std::size_t n = 0; n < codes.size(); ++n) {
        codes[n] = static_cast<std::int64_t>(n);
    }
    fsq.decode<std::int64_t>(codes, {values.data(), codes.size(), levels.size()});
    for (std::size_t n = 0; n < codes.size(); ++n) {
        std::int64_t rebuilt = 0;
        std::int64_t stride = 1;
        for (std::size_t i = 0; i < levels.size(); ++i) {
            const auto middle = static_cast<float>(levels[i] / 2);
            rebuilt += stride * static_cast<std::int64_t>(std::lround(values[n * levels.size() + i] * middle + middle));
            stride *= levels[i];
        }
        CHECK(rebuilt == codes[n]);
    }
}

TEST_CASE("fsq: no change smaller than the margin alters a code") {
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    const FsqLattice fsq(std::vector<std::int64_t>{8, 5});
    for (int i = 0; i < 500; ++i) {
        float z[2] = {normal(random), normal(random)};
        float margin = 0.0f;
        std::int32_t code = 0;
        fsq.margin({z, 1, 2}, {&margin, 1});
        fsq.encode<std::int32_t>({z, 1, 2}, {&code, 1});
        bool changes = false;
        for (const float factor : {0.999f, 1.001f}) {
            for (int direction = 0; direction < 4; ++direction) {
                const float step = margin * factor * (direction % 2 == 0 ? 1.0f : -1.0f);
                float moved[2] = {z[0] + (direction < 2 ? step : 0.0f), z[1] + (direction < 2 ? 0.0f : step)};
                std::int32_t other = 0;
                fsq.encode<std::int32_t>({moved, 1, 2}, {&other, 1});
                CHECK((factor > 1.0f || other == code));
                changes = changes || other != code;
            }
        }
        CHECK((changes || margin < 1e-4f)); // a tiny step can round away
    }
}

TEST_CASE("fsq: sizes at the limits of int32 and int64") {
    CHECK(FsqLattice(std::vector<std::int64_t>(30, 2)).fits_int32());
    CHECK(!FsqLattice(std::vector<std::int64_t>(31, 2)).fits_int32()); // 2^31, one more than int32 can count
    const std::vector<std::int64_t> widest(63, 2);
    const FsqLattice fsq(widest);
    CHECK(fsq.size() == std::uint64_t{1} << 63);
    const std::vector<float> top(63, kInfinity);
    std::int64_t code = 0;
    fsq.encode<std::int64_t>({top.data(), 1, 63}, {&code, 1});
    CHECK(code == std::numeric_limits<std::int64_t>::max());
}
