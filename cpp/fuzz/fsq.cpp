// FSQ against the formula that defines it: codes digit by digit, values, margins, refusals; all SIMD paths.
#include "input.hpp"

#include "conv2d/fsq.hpp"

#include <cmath>
#include <optional>

using namespace conv2d;
using namespace conv2d::fuzz;

namespace {

float any_value(Input &input, std::int64_t levels) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    switch (input.below(8)) {
    case 0:
        return std::bit_cast<float>(static_cast<std::uint32_t>(input.bits(4)));
    case 1: {
        const auto thresholds = fsq_thresholds(levels);
        const float threshold = thresholds[input.below(thresholds.size())];
        return input.flag() ? threshold : std::nextafter(threshold, input.flag() ? kInfinity : -kInfinity);
    }
    case 2:
        return input.flag() ? kInfinity : -kInfinity;
    case 3:
        return input.flag() ? 0.0f : -0.0f;
    default:
        return static_cast<float>(input.real(-4.0, 4.0));
    }
}

// What the formula says of one row: its code, values and margin; nothing where it holds NaN.
struct Row {
    std::uint64_t code = 0;
    std::vector<float> values;
    float margin = std::numeric_limits<float>::infinity();
};

std::optional<Row> plain_row(const std::vector<std::int64_t> &levels, const float *z) {
    Row row;
    std::uint64_t stride = 1;
    for (std::size_t i = 0; i < levels.size(); ++i) {
        if (is_nan(z[i])) {
            return std::nullopt;
        }
        const std::int64_t digit = fsq_reference_digit(z[i], levels[i]);
        const auto middle = static_cast<float>(levels[i] / 2);
        row.code += stride * static_cast<std::uint64_t>(digit);
        stride *= static_cast<std::uint64_t>(levels[i]);
        row.values.push_back((static_cast<float>(digit) - middle) / middle);
        for (const float threshold : fsq_thresholds(levels[i])) {
            row.margin = std::min(row.margin, std::abs(z[i] - threshold));
        }
    }
    return row;
}

template <typename Code> void check_rows(const FsqLattice &fsq, const std::vector<std::int64_t> &levels,
                                         const std::vector<float> &z, FsqNan nan) {
    const std::size_t dimensions = levels.size();
    const std::size_t rows = z.size() / dimensions;
    const Matrix<const float> points{z.data(), rows, dimensions};
    std::vector<std::optional<Row>> expected;
    bool numbers = true;
    for (std::size_t row = 0; row < rows; ++row) {
        expected.push_back(plain_row(levels, z.data() + row * dimensions));
        numbers = numbers && expected.back().has_value();
    }
    constexpr Code kUntouched = -7;
    std::vector<Code> codes;
    std::vector<float> margins;
    std::vector<float> values;
    const auto clear = [&] {
        codes.assign(rows, kUntouched);
        margins.assign(rows, -7.0f);
        values.assign(z.size(), -7.0f);
    };
    const bool refuses = nan == FsqNan::raise && !numbers;
    const auto same = [](float got, float wanted) {
        return got == wanted && std::signbit(got) == std::signbit(wanted);
    };
    const auto check = [&](const Outcome &outcome, bool has_codes, bool has_values, bool has_margins) {
        expect(outcome.refused.empty() == !refuses, "that NaN, and only NaN, is refused (" + outcome.refused + ")");
        for (std::size_t row = 0; row < rows; ++row) {
            if (refuses && !expected[row]) {
                for (std::size_t rest = row; rest < rows && has_codes; ++rest) {
                    expect(codes[rest] == kUntouched, "that nothing is written from a refused row on");
                }
                return;
            }
            const auto code = expected[row] ? static_cast<Code>(expected[row]->code) : Code{-1};
            expect(!has_codes || codes[row] == code, "that a code is that of the formula");
            expect(!has_margins || (expected[row] ? margins[row] == expected[row]->margin : is_nan(margins[row])),
                   "that a margin is the distance to the nearest threshold");
            for (std::size_t i = 0; i < dimensions && has_values; ++i) {
                const float value = values[row * dimensions + i];
                expect(expected[row] ? same(value, expected[row]->values[i]) : is_nan(value),
                       "that a value is that of its digit");
            }
        }
    };
    const auto results = [&] {
        Words words;
        append(words, codes);
        append(words, margins);
        append(words, values);
        return words;
    };
    check(on_every_path([&] {
              clear();
              fsq.encode<Code>(points, codes, nan);
              return results();
          }),
          true, false, false);
    check(on_every_path([&] {
              clear();
              fsq.margin(points, margins, nan);
              return results();
          }),
          false, false, true);
    check(on_every_path([&] {
              clear();
              fsq.quantize<Code>(points, codes, {values.data(), rows, dimensions}, margins, nan);
              return results();
          }),
          true, true, true);
    if (refuses) {
        return;
    }
    const Outcome decoded = on_every_path([&] {
        values.assign(z.size(), -7.0f);
        fsq.decode<Code>(codes, {values.data(), rows, dimensions}, nan);
        return results();
    });
    expect(decoded.refused.empty(), "that a code which was encoded can be decoded");
    check(decoded, false, true, false);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    Input input(data, size);
    const std::size_t dimensions = input.flag() ? input.between(1, 6) : input.below(70);
    std::vector<std::int64_t> levels;
    for (std::size_t i = 0; i < dimensions; ++i) {
        levels.push_back(input.below(16) == 0 ? static_cast<std::int64_t>(input.below(260))
                                              : static_cast<std::int64_t>(input.between(2, 9)));
    }
    double points = 1.0;
    bool allowed = dimensions > 0;
    for (const std::int64_t count : levels) {
        points *= static_cast<double>(count);
        allowed = allowed && count >= kMinLevels && count <= kMaxLevels;
    }
    try {
        const FsqLattice fsq(levels);
        expect(allowed, "that only lattices of 2 to 255 levels are made");
        expect(points < 9.3e18, "that no lattice has more than 2^63 points");
        std::vector<float> z;
        const std::size_t rows = input.below(150);
        for (std::size_t i = 0; i < rows * dimensions; ++i) {
            const float value = any_value(input, levels[i % dimensions]);
            z.push_back(is_nan(value) && input.below(8) != 0 ? 0.0f : value);
        }
        const FsqNan nan = input.flag() ? FsqNan::raise : FsqNan::sentinel;
        if (fsq.fits_int32()) {
            check_rows<std::int32_t>(fsq, levels, z, nan);
        }
        check_rows<std::int64_t>(fsq, levels, z, nan);
        const auto code = input.flag() ? static_cast<std::int64_t>(input.bits(8)) : -1;
        std::vector<float> values(dimensions);
        const Outcome decoded = on_every_path([&] {
            Words words;
            fsq.decode<std::int64_t>({&code, 1}, {values.data(), 1, dimensions}, nan);
            append(words, values);
            return words;
        });
        const bool known =
            (code >= 0 && static_cast<std::uint64_t>(code) < fsq.size()) || (code == -1 && nan == FsqNan::sentinel);
        expect(decoded.refused.empty() == known, "that a code outside the lattice is refused");
    } catch (const std::invalid_argument &error) {
        expect(!allowed || points > 9.2e18,
               "that a lattice within the limits is made (" + std::string(error.what()) + ")");
    }
    return 0;
}
