// Forward-backward where every segment has one frame: a plain hidden Markov model. Weights of one frame share an
// exponent, so that a step is a product of a vector and a matrix and nothing else.
#pragma once

#include "dispatch.hpp"

#include <cstddef>

namespace conv2d::simd {

struct MarkovPass {
    std::size_t states, width;
    double *current; // (width,) weights of the frame in work, before the next scaling
    double lag;      // exponent of the largest of them, taken out with the next frame
    double exponent; // taken out so far
    // Whether a weight fell below 2^-500 of its frame, and the least sum of changes over any state, relative to its
    // frame: no harm is done while every state can be reached from the heavy ones.
    bool faint;
    double least;
};

struct MarkovKernels {
    // Frames one after the other, each with `log_weights` (width) added to its scores; `enters`: the first of them
    // begins the recording. transitions (states, width) change into each frame. Writes the weights of each frame to
    // forward (frames, width) and its largest score to offsets. False when this arithmetic cannot hold them.
    bool (*forward)(MarkovPass &pass, const double *log_emissions, std::size_t frames, std::size_t readable,
                    const double *log_weights, const double *transitions, bool enters, double *forward,
                    double *offsets);
    // Frames from the last to the first; the recording's end is the `current` of ones. transitions are those of
    // forward, with rows and columns exchanged. Writes posteriors (frames, states).
    bool (*backward)(MarkovPass &pass, const double *log_emissions, std::size_t frames, std::size_t readable,
                     const double *log_weights, const double *transitions, const double *forward, const double *offsets,
                     double *posteriors);
};

CONV2D_DECLARE_KERNELS(MarkovKernels, markov_kernels)

[[nodiscard]] inline const MarkovKernels &markov_kernels(SimdPath path) {
    return CONV2D_PICK_KERNELS(path, markov_kernels);
}

} // namespace conv2d::simd
