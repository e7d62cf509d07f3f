// FSQ against the formula that defines it: codes digit by digit, values, margins, refusals; all SIMD paths.
#include "input.hpp"

#include "conv2d/fsq.hpp"

#include <cmath>

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

template <typename Code>
void check_codes(const FsqLattice &fsq, const std::vector<std::int64_t> &levels, const std::vector<float> &z) {
    const std::size_t dimensions = levels.size();
    const std::size_t rows = z.size() / dimensions;
    const bool numbers = std::none_of(z.begin(), z.end(), [](float value) { return is_nan(value); });
    std::vector<Code> codes(rows);
    const Outcome encoded = on_every_path([&] {
        codes.assign(rows, Code{-7});
        Words words;
        try {
            fsq.encode<Code>({z.data(), rows, dimensions}, codes);
        } catch (const std::invalid_argument &) {
            expect(std::count(codes.begin(), codes.end(), Code{-7}) == static_cast<std::ptrdiff_t>(rows),
                   "that nothing is written where NaN is refused");
            throw;
        }
        append(words, codes);
        return words;
    });
    expect(encoded.refused.empty() == numbers, "that NaN, and only NaN, is refused");
    std::vector<float> margins(rows);
    const Outcome measured = on_every_path([&] {
        Words words;
        fsq.margin({z.data(), rows, dimensions}, margins);
        append(words, margins);
        return words;
    });
    expect(measured.refused == encoded.refused, "that margins refuse what codes refuse");
    if (!numbers) {
        return;
    }
    for (std::size_t row = 0; row < rows; ++row) {
        std::uint64_t code = 0;
        std::uint64_t stride = 1;
        float margin = std::numeric_limits<float>::infinity();
        for (std::size_t i = 0; i < dimensions; ++i) {
            const float value = z[row * dimensions + i];
            code += stride * static_cast<std::uint64_t>(fsq_reference_digit(value, levels[i]));
            stride *= static_cast<std::uint64_t>(levels[i]);
            for (const float threshold : fsq_thresholds(levels[i])) {
                margin = std::min(margin, std::abs(value - threshold));
            }
        }
        expect(static_cast<std::uint64_t>(codes[row]) == code, "that a code is that of the formula");
        expect(margins[row] == margin, "that a margin is the distance to the nearest threshold");
    }
    std::vector<std::int64_t> wide(codes.begin(), codes.end());
    std::vector<float> values(z.size());
    const Outcome decoded = on_every_path([&] {
        Words words;
        fsq.decode(wide, {values.data(), rows, dimensions});
        append(words, values);
        return words;
    });
    expect(decoded.refused.empty(), "that a code which was encoded can be decoded");
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::int64_t count = levels[i % dimensions];
        const auto middle = static_cast<float>(count / 2);
        const auto digit = static_cast<float>(fsq_reference_digit(z[i], count));
        expect(values[i] == (digit - middle) / middle, "that a value is that of its digit");
    }
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
        if (fsq.fits_int32()) {
            check_codes<std::int32_t>(fsq, levels, z);
        }
        check_codes<std::int64_t>(fsq, levels, z);
        const std::int64_t code = static_cast<std::int64_t>(input.bits(8));
        std::vector<float> values(dimensions);
        const Outcome decoded = on_every_path([&] {
            Words words;
            fsq.decode({&code, 1}, {values.data(), 1, dimensions});
            append(words, values);
            return words;
        });
        expect(decoded.refused.empty() == (code >= 0 && static_cast<std::uint64_t>(code) < fsq.size()),
               "that a code outside the lattice is refused");
    } catch (const std::invalid_argument &error) {
        expect(!allowed || points > 9.2e18,
               "that a lattice within the limits is made (" + std::string(error.what()) + ")");
    }
    return 0;
}
