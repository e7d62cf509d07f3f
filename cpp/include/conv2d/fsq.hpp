// Finite scalar quantisation (Mentzer et al. 2023): a vector of d reals to one integer of a lattice.
//
// One definition serves training, export and the device. A value z in a dimension of L levels has the digit
//     rint(tanh(z + shift) * half - offset) + L / 2     (float32, every step rounded, see fsq.cpp)
// which is a step function of z. Its L - 1 float32 thresholds are found once by bisection, and from then on
//     digit(z) = number of thresholds <= z
// so that no machine, library or instruction set can disagree about a code.
#pragma once

#include "conv2d/numeric.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace conv2d {

inline constexpr std::int64_t kMinLevels = 2;
inline constexpr std::int64_t kMaxLevels = 255;

// The L - 1 thresholds, ascending. Computed on first use for each L, then kept. Throws std::invalid_argument.
[[nodiscard]] std::span<const float> fsq_thresholds(std::int64_t levels);

// The reference that defines the thresholds; z must not be NaN.
[[nodiscard]] std::int64_t fsq_reference_digit(float z, std::int64_t levels) noexcept;

class FsqLattice {
  public:
    // Throws std::invalid_argument when a dimension has fewer than 2 or more than 255 levels, when there is no
    // dimension, or when the lattice has more than 2^63 points.
    explicit FsqLattice(std::span<const std::int64_t> levels);

    [[nodiscard]] std::size_t dimensions() const noexcept { return levels_.size(); }
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
    [[nodiscard]] bool fits_int32() const noexcept { return size_ <= 0x7fffffffu; }

    // codes[n] = sum of digit_i * product of the levels before i. Throws on NaN, before anything is written.
    template <typename Code> void encode(Matrix<const float> z, std::span<Code> codes) const;

    // values(n, i) = (digit_i - L_i / 2) / (L_i / 2). Throws on a code outside 0 .. size() - 1.
    void decode(std::span<const std::int64_t> codes, Matrix<float> values) const;

    // Distance (maximum norm) from each row of z to the nearest threshold: no smaller change alters the code.
    void margin(Matrix<const float> z, std::span<float> margins) const;

  private:
    void check(Matrix<const float> z) const;

    std::vector<std::int64_t> levels_;
    std::vector<std::uint64_t> strides_;
    std::vector<std::span<const float>> thresholds_;
    std::uint64_t size_ = 1;
};

} // namespace conv2d
