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
#include <memory>
#include <span>

namespace conv2d {

inline constexpr std::int64_t kMinLevels = 2;
inline constexpr std::int64_t kMaxLevels = 255;

// The L - 1 thresholds, ascending. Computed on first use for each L, then kept. Throws std::invalid_argument.
[[nodiscard]] std::span<const float> fsq_thresholds(std::int64_t levels);

// The reference that defines the thresholds; z must not be NaN.
[[nodiscard]] std::int64_t fsq_reference_digit(float z, std::int64_t levels) noexcept;

// What to do with a vector that holds NaN: throw, naming its row and column (the rows before it are written, nothing
// from it on), or go on with the code -1, NaN values and a NaN margin.
enum class FsqNan { raise, sentinel };

class FsqLattice {
  public:
    // Throws std::invalid_argument when a dimension has fewer than 2 or more than 255 levels, when there is no
    // dimension, or when the lattice has more than 2^63 points.
    explicit FsqLattice(std::span<const std::int64_t> levels);

    [[nodiscard]] std::size_t dimensions() const noexcept;
    [[nodiscard]] std::uint64_t size() const noexcept;
    [[nodiscard]] bool fits_int32() const noexcept { return size() <= 0x7fffffffu; }

    // For all of these z has dimensions() columns, and no output overlaps an input.

    // codes[n] = sum of digit_i * product of the levels before i. Code is std::int32_t where it fits, or std::int64_t.
    template <typename Code>
    void encode(Matrix<const float> z, std::span<Code> codes, FsqNan nan = FsqNan::raise) const;

    // values(n, i) = (digit_i - L_i / 2) / (L_i / 2). Throws on a code outside 0 .. size() - 1, before anything is
    // written; with FsqNan::sentinel -1 is a code, of NaN values.
    template <typename Code>
    void decode(std::span<const Code> codes, Matrix<float> values, FsqNan nan = FsqNan::raise) const;

    // Distance (maximum norm) from each row of z to the nearest threshold: no smaller change alters the code.
    void margin(Matrix<const float> z, std::span<float> margins, FsqNan nan = FsqNan::raise) const;

    // Codes, their values and the margins, from one pass over z.
    template <typename Code> void quantize(Matrix<const float> z, std::span<Code> codes, Matrix<float> values,
                                           std::span<float> margins, FsqNan nan = FsqNan::raise) const;

  private:
    struct Tables;
    struct Outputs;
    void run(Matrix<const float> z, const Outputs &out) const;

    std::shared_ptr<const Tables> tables_; // never changes, so that copies may share it
};

} // namespace conv2d
