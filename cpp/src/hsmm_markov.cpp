#include "hsmm_block_passes.hpp"

#include "simd/markov_kernels.hpp"

#include <algorithm>

namespace conv2d::detail {

std::optional<double> markov_forward_backward(Matrix<const double> log_emissions, const HsmmModel &model,
                                              Matrix<double> posteriors) {
    const std::size_t frames = log_emissions.rows;
    const std::size_t states = log_emissions.cols;
    const std::size_t width = (states + 7) / 8 * 8;
    const SegmentWeights weights(model, frames);
    const auto &kernels = simd::markov_kernels(simd_path());
    TransitionRows transitions(model, width, false);
    TransitionRows mirrored(model, width, true);
    const bool each_frame = model.log_transitions.rows != states;

    WorkBlock memory(frames * (width + 1) + 5 * width);
    double *const forward = memory.data();
    double *const offsets = forward + frames * width;
    double *const first = offsets + frames; // log weights of a segment of one frame, at frame 0 and behind it
    double *const inner = first + width;
    std::fill_n(first, 5 * width, 0.0);
    for (std::size_t k = 0; k < states; ++k) {
        const double entry = frames == 1 ? weights.whole(k)[0] : weights.first(k)[0];
        first[k] = model.log_initial[k] + entry;
        inner[k] = weights.inner(k)[0]; // the last one is no other: P(duration >= 1) is P(duration = 1)
    }
    simd::MarkovPass pass{states, width, inner + width, 0.0, 0.0, false, 1.0};
    double changes = 0.0; // exponents of the transitions
    const std::size_t step = each_frame ? 1 : frames;
    for (std::size_t t = 0; t < frames;) {
        const bool enters = t == 0;
        const std::size_t count = enters ? 1 : std::min(step, frames - t);
        const auto rows = transitions.at(t);
        if (!transitions.within() ||
            !kernels.forward(pass, log_emissions.data + t * states, count, (frames - t) * states,
                             enters ? first : inner, rows.rows, enters, forward + t * width, offsets + t)) {
            return std::nullopt;
        }
        changes += enters ? 0.0 : rows.exponent * static_cast<double>(count);
        t += count;
    }
    Weight evidence;
    for (std::size_t k = 0; k < states; ++k) {
        const double weight = forward[(frames - 1) * width + k];
        evidence += weight > 0.0 ? Weight{weight, 0.0} * Weight{1.0, pass.exponent + changes} : Weight{};
    }
    double log_likelihood = evidence.log();
    for (std::size_t t = 0; t < frames; ++t) {
        log_likelihood += offsets[t];
    }

    pass.lag = 0.0;
    std::fill_n(pass.current, states, 1.0);
    for (std::size_t end = frames; end > 0;) {
        const std::size_t count = std::min(step, end);
        const std::size_t t = end - count;
        const auto rows = mirrored.at(each_frame ? t : 0);
        if (!kernels.backward(pass, log_emissions.data + t * states, count, (frames - t) * states, inner, rows.rows,
                              forward + t * width, offsets + t, posteriors.data + t * states)) {
            return std::nullopt;
        }
        end = t;
    }
    return log_likelihood;
}

} // namespace conv2d::detail
