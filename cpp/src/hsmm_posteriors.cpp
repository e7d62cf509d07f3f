#include "conv2d/hsmm_posteriors.hpp"

#include "hsmm_block_passes.hpp"
#include "hsmm_forward.hpp"
#include "hsmm_lattice.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace conv2d {
namespace {

using detail::ForwardPass;
using detail::FrameOffsets;
using detail::SegmentWeights;

// The model with an open end: what holds for a recording that is still going on.
HsmmModel open_ended(const HsmmModel &model) {
    HsmmModel open = model;
    const bool from_left = model.censoring == Censoring::left || model.censoring == Censoring::both;
    open.censoring = from_left ? Censoring::both : Censoring::right;
    return open;
}

void check_segment(const Segment &segment, std::size_t row, Matrix<const double> log_emissions) {
    const auto states = static_cast<std::int64_t>(log_emissions.cols);
    const auto frames = static_cast<std::int64_t>(log_emissions.rows);
    if (segment.state < 0 || segment.state >= states) {
        throw std::invalid_argument("segments row " + std::to_string(row) + " has state " +
                                    std::to_string(segment.state) + ", expected 0 to " + std::to_string(states - 1) +
                                    ", a column of log_emissions");
    }
    if (segment.start < 0 || segment.start >= segment.end || segment.end > frames) {
        throw std::invalid_argument("segments row " + std::to_string(row) + " has start " +
                                    std::to_string(segment.start) + " and end " + std::to_string(segment.end) +
                                    ", expected 0 <= start < end <= " + std::to_string(frames) +
                                    ", the rows of log_emissions");
    }
}

// Calls each(t, scores) with the log scores of the states at frame t given frames 0 .. t, until it returns false.
template <typename Each> void filter(Matrix<const double> log_emissions, const HsmmModel &model, Each &&each) {
    const HsmmModel open = open_ended(model);
    const std::size_t frames = log_emissions.rows;
    const SegmentWeights weights(open, frames);
    const FrameOffsets offsets(log_emissions);
    ForwardPass forward(log_emissions, open, weights, offsets);
    for (std::size_t end = 1; end <= frames; ++end) {
        forward.advance(end);
        if (!each(end - 1, forward.end_recording(end), offsets)) {
            return;
        }
        if (end < frames) {
            forward.change_state(end);
        }
    }
}

// hsmm_forward_backward by the passes of a hidden Markov model, where they can.
std::optional<double> markov_if_one_frame(Matrix<const double> log_emissions, const HsmmModel &model,
                                          Matrix<double> posteriors) {
    if (model.log_durations.cols != 1) {
        return std::nullopt;
    }
    return detail::markov_forward_backward(log_emissions, model, posteriors);
}

ExpectedCounts count_segments(Matrix<const double> log_emissions, const HsmmModel &model, Matrix<double> posteriors) {
    if (auto result = detail::block_forward_backward(log_emissions, model, posteriors, true)) {
        return std::move(result->counts);
    }
    const detail::SegmentLattice lattice(log_emissions, model);
    std::copy_n(lattice.posteriors().data, log_emissions.rows * log_emissions.cols, posteriors.data);
    return detail::expected_counts(lattice, model);
}

} // namespace

namespace detail {

void throw_impossible(Matrix<const double> log_emissions, const HsmmModel &model) {
    std::optional<std::size_t> dead;
    filter(log_emissions, model, [&](std::size_t t, std::span<const double> scores, const FrameOffsets &) {
        if (*std::max_element(scores.begin(), scores.end()) == kNever) {
            dead = t;
        }
        return !dead;
    });
    if (dead) {
        throw std::invalid_argument("at frame " + std::to_string(*dead) + " of " + std::to_string(log_emissions.rows) +
                                    " every state is impossible, expected a finite score for at least one; look for "
                                    "-inf in log_emissions there, and in transitions and durations before it");
    }
    throw std::invalid_argument("no sequence of whole segments ends at frame " + std::to_string(log_emissions.rows) +
                                ", expected one with a finite score; use censoring 'right' or 'both' for a recording "
                                "that may end within a segment");
}

ExpectedCounts empty_counts(std::size_t states, std::size_t durations) {
    ExpectedCounts counts;
    counts.initial.resize(states);
    counts.transitions.resize(states * states);
    for (auto *const table : {&counts.durations, &counts.cut_left, &counts.cut_right, &counts.cut_both}) {
        table->resize(states * durations);
    }
    return counts;
}

ExpectedCounts expected_counts(const SegmentLattice &lattice, const HsmmModel &model) {
    const std::size_t frames = lattice.frames();
    const std::size_t states = lattice.states();
    const std::size_t durations = model.log_durations.cols;
    const bool from_left = model.censoring == Censoring::left || model.censoring == Censoring::both;
    const bool to_right = model.censoring == Censoring::right || model.censoring == Censoring::both;
    ExpectedCounts counts = empty_counts(states, durations);
    counts.log_likelihood = lattice.log_likelihood();
    std::vector<double> shares(lattice.longest());
    for (std::size_t start = 0; start < frames; ++start) {
        const std::size_t longest = std::min(lattice.longest(), frames - start);
        for (std::size_t k = 0; k < states; ++k) {
            if (start == 0) {
                counts.initial[k] = lattice.begins(0, k);
            } else {
                for (std::size_t to = 0; to < states; ++to) {
                    counts.transitions[k * states + to] += lattice.change(start, k, to);
                }
            }
            lattice.segments_from(k, start, {shares.data(), longest});
            for (std::size_t d = 1; d <= longest; ++d) {
                const bool left = start == 0 && from_left;
                const bool right = start + d == frames && to_right;
                auto &table = left && right ? counts.cut_both
                              : left        ? counts.cut_left
                              : right       ? counts.cut_right
                                            : counts.durations;
                table[k * durations + d - 1] += shares[d - 1];
            }
        }
    }
    return counts;
}

} // namespace detail

double hsmm_filter(Matrix<const double> log_emissions, const HsmmModel &model, Matrix<double> filtered) {
    detail::check_hsmm(log_emissions, model);
    double log_likelihood = 0.0;
    if (log_emissions.rows > 0) {
        if (const auto by_weights = detail::block_filter(log_emissions, open_ended(model), filtered)) {
            return *by_weights;
        }
    }
    filter(log_emissions, model, [&](std::size_t t, std::span<const double> scores, const FrameOffsets &offsets) {
        const double total = detail::log_sum(scores);
        if (total == kNever) {
            detail::throw_impossible(log_emissions, model);
        }
        for (std::size_t k = 0; k < scores.size(); ++k) {
            filtered(t, k) = std::exp(scores[k] - total);
        }
        log_likelihood = total + offsets.total(); // that of the last frame stays
        return true;
    });
    return log_likelihood;
}

double hsmm_forward_backward(Matrix<const double> log_emissions, const HsmmModel &model, Matrix<double> posteriors) {
    detail::check_hsmm(log_emissions, model);
    if (log_emissions.rows == 0) {
        return 0.0;
    }
    if (const auto log_likelihood = markov_if_one_frame(log_emissions, model, posteriors)) {
        return *log_likelihood;
    }
    if (const auto result = detail::block_forward_backward(log_emissions, model, posteriors, false)) {
        return result->log_likelihood;
    }
    const detail::SegmentLattice lattice(log_emissions, model);
    std::copy_n(lattice.posteriors().data, log_emissions.rows * log_emissions.cols, posteriors.data);
    return lattice.log_likelihood();
}

ExpectedCounts hsmm_expected_counts(Matrix<const double> log_emissions, const HsmmModel &model,
                                    Matrix<double> posteriors) {
    detail::check_hsmm(log_emissions, model);
    if (log_emissions.rows == 0) {
        return detail::empty_counts(log_emissions.cols, model.log_durations.cols);
    }
    // Where one frame is the longest duration, the posteriors of hsmm_forward_backward to the last bit.
    const auto log_likelihood = markov_if_one_frame(log_emissions, model, posteriors);
    std::vector<double> unused(log_likelihood ? log_emissions.rows * log_emissions.cols : 0);
    const Matrix<double> shares{log_likelihood ? unused.data() : posteriors.data, log_emissions.rows,
                                log_emissions.cols};
    ExpectedCounts counts = count_segments(log_emissions, model, shares);
    counts.log_likelihood = log_likelihood.value_or(counts.log_likelihood);
    return counts;
}

double hsmm_segment_posteriors(Matrix<const double> log_emissions, const HsmmModel &model,
                               std::span<const Segment> segments, std::span<double> shares) {
    for (std::size_t row = 0; row < segments.size(); ++row) {
        check_segment(segments[row], row, log_emissions);
    }
    const detail::SegmentLattice lattice(log_emissions, model);
    for (std::size_t row = 0; row < segments.size(); ++row) {
        const Segment &segment = segments[row];
        shares[row] = lattice.segment(static_cast<std::size_t>(segment.state), static_cast<std::size_t>(segment.start),
                                      static_cast<std::size_t>(segment.end));
    }
    return lattice.log_likelihood();
}

double hsmm_boundary_posteriors(Matrix<const double> log_emissions, const HsmmModel &model, Matrix<double> begins,
                                Matrix<double> ends) {
    const detail::SegmentLattice lattice(log_emissions, model);
    for (std::size_t t = 0; t < log_emissions.rows; ++t) {
        for (std::size_t k = 0; k < log_emissions.cols; ++k) {
            begins(t, k) = lattice.begins(t, k);
            ends(t, k) = lattice.ends(t + 1, k);
        }
    }
    return lattice.log_likelihood();
}

} // namespace conv2d
