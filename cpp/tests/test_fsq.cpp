#include "check.hpp"

#include "conv2d/fsq.hpp"
#include "conv2d/simd.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
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

// Runs the work on every path of this machine, and goes back to the one that was in use.
template <typename Work> void on_every_path(Work &&work) {
    const SimdPath before = simd_path();
    for (const SimdPath path : simd_paths()) {
        use_simd_path(path);
        work(path);
    }
    use_simd_path(before);
}

struct Quantised {
    std::vector<std::int64_t> codes;
    std::vector<float> values;
    std::vector<float> margins;

    bool operator==(const Quantised &other) const { // bit by bit, so that NaN equals itself
        const auto same = [](const std::vector<float> &a, const std::vector<float> &b) {
            return a.size() == b.size() &&
                   (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
        };
        return codes == other.codes && same(values, other.values) && same(margins, other.margins);
    }
};

// By the definition: thresholds counted, one by one.
Quantised slow_quantise(const std::vector<std::int64_t> &levels, const std::vector<float> &z) {
    const std::size_t d = levels.size();
    const std::size_t rows = z.size() / d;
    Quantised out{std::vector<std::int64_t>(rows), std::vector<float>(z.size()), std::vector<float>(rows, kInfinity)};
    for (std::size_t row = 0; row < rows; ++row) {
        const auto first = z.begin() + static_cast<std::ptrdiff_t>(row * d);
        const bool nan = std::any_of(first, first + static_cast<std::ptrdiff_t>(d), [](float v) { return is_nan(v); });
        std::uint64_t stride = 1;
        std::uint64_t code = 0;
        for (std::size_t i = 0; i < d; ++i) {
            const float value = z[row * d + i];
            const auto thresholds = fsq_thresholds(levels[i]);
            const auto digit = std::count_if(thresholds.begin(), thresholds.end(), [&](float t) { return t <= value; });
            for (const float threshold : thresholds) {
                out.margins[row] = std::min(out.margins[row], std::abs(value - threshold));
            }
            const auto middle = static_cast<float>(levels[i] / 2);
            out.values[row * d + i] = nan ? std::nanf("") : (static_cast<float>(digit) - middle) / middle;
            code += static_cast<std::uint64_t>(digit) * stride;
            stride *= static_cast<std::uint64_t>(levels[i]);
        }
        out.codes[row] = nan ? -1 : static_cast<std::int64_t>(code);
        out.margins[row] = nan ? std::nanf("") : out.margins[row];
    }
    return out;
}

// By every function of the lattice; they must agree among themselves.
Quantised fast_quantise(const std::vector<std::int64_t> &levels, const std::vector<float> &z) {
    const FsqLattice fsq(levels);
    const std::size_t rows = z.size() / levels.size();
    Quantised out{std::vector<std::int64_t>(rows), std::vector<float>(z.size()), std::vector<float>(rows)};
    const Matrix<const float> points{z.data(), rows, levels.size()};
    const Matrix<float> values{out.values.data(), rows, levels.size()};
    fsq.quantize<std::int64_t>(points, out.codes, values, out.margins, FsqNan::sentinel);
    Quantised apart = out;
    fsq.encode<std::int64_t>(points, apart.codes, FsqNan::sentinel);
    fsq.margin(points, apart.margins, FsqNan::sentinel);
    fsq.decode<std::int64_t>(apart.codes, {apart.values.data(), rows, levels.size()}, FsqNan::sentinel);
    CHECK(apart == out);
    if (fsq.fits_int32()) {
        std::vector<std::int32_t> codes(rows);
        fsq.encode<std::int32_t>(points, codes, FsqNan::sentinel);
        CHECK(std::equal(codes.begin(), codes.end(), out.codes.begin()));
        fsq.decode<std::int32_t>(codes, {apart.values.data(), rows, levels.size()}, FsqNan::sentinel);
        CHECK(apart == out);
    }
    return out;
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

TEST_CASE("fsq: codes of 31 bits decode to the digits that division gives") {
    std::mt19937 random(5);
    for (const std::vector<std::int64_t> &levels : {std::vector<std::int64_t>(30, 2),
                                                    std::vector<std::int64_t>(19, 3),
                                                    {255, 254, 253, 131},
                                                    {127, 129, 251, 241, 2}}) {
        const FsqLattice fsq(levels);
        REQUIRE(fsq.fits_int32());
        const auto last = static_cast<std::int32_t>(fsq.size() - 1);
        std::uniform_int_distribution<std::int32_t> any(0, last);
        std::vector<std::int32_t> codes{0, 1, last, last - 1};
        while (codes.size() < 3000) {
            codes.push_back(any(random));
        }
        std::vector<float> values(codes.size() * levels.size());
        fsq.decode<std::int32_t>(codes, {values.data(), codes.size(), levels.size()});
        for (std::size_t n = 0; n < codes.size(); ++n) {
            std::int64_t rest = codes[n];
            for (std::size_t i = 0; i < levels.size(); ++i) {
                const auto middle = static_cast<float>(levels[i] / 2);
                CHECK(values[n * levels.size() + i] == (static_cast<float>(rest % levels[i]) - middle) / middle);
                rest /= levels[i];
            }
        }
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

TEST_CASE("fsq: on every path, around every threshold of every number of levels") {
    on_every_path([](SimdPath) {
        for (std::int64_t levels = kMinLevels; levels <= kMaxLevels; ++levels) {
            std::vector<float> z{0.0f, -0.0f, kInfinity, -kInfinity, 1e-45f, -1e-45f, 3.4e38f, -3.4e38f};
            for (const float threshold : fsq_thresholds(levels)) {
                z.insert(z.end(), {threshold, std::nextafter(threshold, kInfinity), -threshold,
                                   std::nextafter(threshold, -kInfinity)});
            }
            const Quantised fast = fast_quantise({levels}, z);
            CHECK(fast == slow_quantise({levels}, z));
            for (std::size_t i = 0; i < z.size(); ++i) {
                REQUIRE(fast.codes[i] == fsq_reference_digit(z[i], levels));
            }
        }
    });
}

TEST_CASE("fsq: on every path, two million vectors have the digits of the reference") {
    constexpr std::size_t kRows = 2'000'000;
    const std::vector<std::int64_t> levels{8, 6, 5};
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    std::vector<float> z(kRows * 3);
    std::vector<std::int32_t> expected(kRows);
    for (std::size_t row = 0; row < kRows; ++row) {
        std::int64_t stride = 1;
        for (std::size_t i = 0; i < 3; ++i) {
            z[row * 3 + i] = normal(random);
            expected[row] += static_cast<std::int32_t>(stride * fsq_reference_digit(z[row * 3 + i], levels[i]));
            stride *= levels[i];
        }
    }
    const FsqLattice fsq(levels);
    on_every_path([&](SimdPath) {
        std::vector<std::int32_t> codes(kRows);
        fsq.encode<std::int32_t>({z.data(), kRows, 3}, codes);
        CHECK(codes == expected);
    });
}

TEST_CASE("fsq: on every path, any dimension, any number of rows, NaN anywhere") {
    std::mt19937 random(4);
    std::normal_distribution<float> normal(0.0f, 1.5f);
    const auto below = [&](std::size_t bound) {
        return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random);
    };
    for (int round = 0; round < 400; ++round) {
        const std::size_t d = round < 300 ? 1 + below(7) : 1 + below(40);
        const std::int64_t most = std::vector<std::int64_t>{2, 9, 16, 24, 60, 255}[below(d > 7 ? 1 : 6)];
        std::vector<std::int64_t> levels(d);
        for (std::int64_t &count : levels) {
            count = 2 + static_cast<std::int64_t>(below(static_cast<std::size_t>(most - 1)));
        }
        std::vector<float> z(below(200) * d);
        for (float &value : z) {
            const std::size_t kind = below(200);
            const auto thresholds = fsq_thresholds(levels[static_cast<std::size_t>(&value - z.data()) % d]);
            value = kind == 0 && round % 2 == 0 ? std::nanf("")
                    : kind == 1                 ? kInfinity
                    : kind == 2                 ? -kInfinity
                    : kind < 20                 ? thresholds[below(thresholds.size())]
                                                : normal(random);
        }
        const Quantised expected = slow_quantise(levels, z);
        on_every_path([&](SimdPath) { CHECK(fast_quantise(levels, z) == expected); });
    }
}

TEST_CASE("fsq: on every path, rows before NaN are written, and nothing from it on") {
    for (const std::vector<std::int64_t> &levels :
         {std::vector<std::int64_t>{8, 6, 5}, {8, 5, 5, 5}, {16, 3}, {200}, {3, 3, 3, 3, 3}}) {
        const FsqLattice fsq(levels);
        const std::size_t d = levels.size();
        constexpr std::size_t kRows = 150;
        for (const std::size_t bad : {0u, 1u, 15u, 16u, 17u, 63u, 64u, 100u, 149u}) {
            std::vector<float> z(kRows * d, 0.3f);
            std::vector<std::int32_t> right(kRows);
            fsq.encode<std::int32_t>({z.data(), kRows, d}, right);
            z[bad * d + d - 1] = std::nanf("");
            z[(kRows - 1) * d] = std::nanf("");
            on_every_path([&](SimdPath) {
                std::vector<std::int32_t> codes(kRows, -7);
                const std::string said = conv2d::tests::message_of([&] {
                    fsq.encode<std::int32_t>({z.data(), kRows, d}, codes);
                });
                const std::size_t col = bad == kRows - 1 ? 0 : d - 1;
                CHECK(said.rfind("z row " + std::to_string(bad) + ", column " + std::to_string(col) + " is nan", 0) ==
                      0);
                for (std::size_t row = 0; row < kRows; ++row) {
                    CHECK(codes[row] == (row < bad ? right[row] : -7));
                }
            });
        }
    }
}

TEST_CASE("fsq: on every path, nothing outside the arrays is touched") {
    for (const std::vector<std::int64_t> &levels : {std::vector<std::int64_t>{8}, {8, 5}, {8, 6, 5}, {5, 5, 5, 5, 5}}) {
        const FsqLattice fsq(levels);
        const std::size_t d = levels.size();
        for (std::size_t rows = 0; rows < 70; ++rows) {
            on_every_path([&](SimdPath) {
                std::vector<float> z(rows * d, 0.1f); // its end is guarded where sanitizers run
                std::vector<std::int32_t> codes(rows + 2, -7);
                std::vector<float> values((rows + 2) * d, -7.0f);
                std::vector<float> margins(rows + 2, -7.0f);
                fsq.quantize<std::int32_t>({z.data(), rows, d}, std::span(codes).subspan(1, rows),
                                           {values.data() + d, rows, d}, std::span(margins).subspan(1, rows));
                fsq.encode<std::int32_t>({z.data(), rows, d}, std::span(codes).subspan(1, rows));
                CHECK(
                    (codes.front() == -7 && codes.back() == -7 && margins.front() == -7.0f && margins.back() == -7.0f));
                CHECK((values[d - 1] == -7.0f && values[(rows + 1) * d] == -7.0f));
            });
        }
    }
}
