// The kernels of smoothing: short windows over bytes, changes between neighbours, and the switch with two thresholds.
#pragma once

#include "dispatch.hpp"

#include <cstddef>
#include <cstdint>

namespace conv2d::simd {

inline constexpr std::size_t kShortWindow = 15; // the widest window that the byte kernels have

template <typename Label> struct LabelKernels {
    // Number of t in 0 .. n-1 with labels[t] != labels[t-1]; labels[-1] is read.
    std::size_t (*changes)(const Label *labels, std::size_t n) noexcept;
    // Bit t % 64 of masks[t / 64] is set where labels[t] != labels[t-1], for t in 0 .. 64 * words - 1.
    void (*change_masks)(const Label *labels, std::size_t words, std::uint64_t *masks) noexcept;
    // Whether the largest label is at most 255 above the smallest one, which goes to `smallest`. n >= 1.
    bool (*fits_byte)(const Label *labels, std::size_t n, Label *smallest) noexcept;
    // label - smallest as a byte, and back.
    void (*narrow)(const Label *labels, std::size_t n, Label smallest, std::uint8_t *bytes) noexcept;
    void (*widen)(const std::uint8_t *bytes, std::size_t n, Label smallest, Label *labels) noexcept;
};

// Switches the samples 0 .. n-1, beginning in `state`, which is left as the last sample has it. Returns the first row
// that is NaN, where it stops and `on` and `state` are not to be used, or n.
template <typename Real>
using Switch = std::size_t (*)(const Real *p, std::size_t n, Real enter, Real exit, bool *on, bool *state) noexcept;

struct SmoothingKernels {
    // Statistic of from[t - width / 2] .. from[t + width / 2] for t in 0 .. n-1; width is odd, 1 .. kShortWindow, and
    // all these are read. Of modes equally frequent from[t], else the smallest. `to` must not overlap with what is
    // read.
    using Window = void (*)(const std::uint8_t *from, std::size_t n, std::size_t width, std::uint8_t *to) noexcept;
    Window median;
    Window mode;
    LabelKernels<std::uint8_t> u8;
    LabelKernels<std::int8_t> i8;
    LabelKernels<std::int16_t> i16;
    LabelKernels<std::int32_t> i32;
    LabelKernels<std::int64_t> i64;
    Switch<float> switch_f32;
    Switch<double> switch_f64;
};

CONV2D_DECLARE_KERNELS(SmoothingKernels, smoothing_kernels)

[[nodiscard]] inline const SmoothingKernels &smoothing_kernels() {
    return CONV2D_PICK_KERNELS(simd_path(), smoothing_kernels);
}

template <typename Label> [[nodiscard]] const LabelKernels<Label> &label_kernels(const SmoothingKernels &kernels);
template <> inline const LabelKernels<std::uint8_t> &label_kernels(const SmoothingKernels &k) { return k.u8; }
template <> inline const LabelKernels<std::int8_t> &label_kernels(const SmoothingKernels &k) { return k.i8; }
template <> inline const LabelKernels<std::int16_t> &label_kernels(const SmoothingKernels &k) { return k.i16; }
template <> inline const LabelKernels<std::int32_t> &label_kernels(const SmoothingKernels &k) { return k.i32; }
template <> inline const LabelKernels<std::int64_t> &label_kernels(const SmoothingKernels &k) { return k.i64; }

} // namespace conv2d::simd
