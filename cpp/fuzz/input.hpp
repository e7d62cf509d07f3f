// What the fuzz targets share: numbers drawn from the bytes of an input, and outcomes that must agree between paths.
#pragma once

#include "conv2d/numeric.hpp"
#include "conv2d/simd.hpp"

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace conv2d::fuzz {

inline void expect(bool holds, const std::string &what) {
    if (!holds) {
        std::fprintf(stderr, "fuzz: %s does not hold\n", what.c_str());
        std::abort();
    }
}

// Reads the input from its front; what is missing behind the end reads as zero.
class Input {
  public:
    Input(const std::uint8_t *data, std::size_t size) : data_(data), size_(size) {}

    [[nodiscard]] bool empty() const { return at_ >= size_; }

    std::uint64_t bits(std::size_t bytes) {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < bytes; ++i) {
            value = value << 8 | (at_ < size_ ? data_[at_] : 0u);
            ++at_;
        }
        return value;
    }

    // 0 .. count - 1, for a count of 1 at least.
    std::size_t below(std::size_t count) { return static_cast<std::size_t>(bits(count > 256 ? 4 : 1) % count); }
    std::size_t between(std::size_t low, std::size_t high) { return low + below(high - low + 1); }
    bool flag() { return (bits(1) & 1u) != 0; }
    double real(double low, double high) { return low + (high - low) * static_cast<double>(bits(4)) / 4294967295.0; }

  private:
    const std::uint8_t *data_;
    std::size_t size_;
    std::size_t at_ = 0;
};

using Words = std::vector<std::uint64_t>; // a result, bit for bit

inline void append(Words &words, double value) { words.push_back(std::bit_cast<std::uint64_t>(value)); }
inline void append(Words &words, float value) { words.push_back(std::bit_cast<std::uint32_t>(value)); }
template <std::integral Integer> void append(Words &words, Integer value) {
    words.push_back(static_cast<std::uint64_t>(value));
}
template <typename T> void append(Words &words, const std::vector<T> &values) {
    for (const T &value : values) {
        append(words, value);
    }
}

struct Outcome {
    std::string refused; // the sentence, or nothing
    Words words;
    bool operator==(const Outcome &) const = default;
};

// Runs `call`, which gives Words, on every path that the machine has: all must end in the same bits or the same
// sentence. Anything thrown but std::invalid_argument is a failure.
template <typename Call> Outcome on_every_path(Call &&call) {
    Outcome first;
    bool any = false;
    for (const SimdPath path : simd_paths()) {
        use_simd_path(path);
        Outcome outcome;
        try {
            outcome.words = call();
        } catch (const std::invalid_argument &error) {
            outcome.refused = error.what();
            expect(!outcome.refused.empty(), "that a refusal says why");
        }
        if (any) {
            expect(outcome == first, "that " + std::string(simd_name(path)) + " gives what scalar gives");
        } else {
            first = std::move(outcome);
            any = true;
        }
    }
    return first;
}

} // namespace conv2d::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size);
