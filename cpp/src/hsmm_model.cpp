#include "hsmm_model.hpp"

#include "simd/viterbi_kernels.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <stdexcept>
#include <string>

namespace conv2d::detail {
namespace {

constexpr double kLargestScore = 1e200; // sums of 2^63 of them stay finite

// exp of this beside the 1 of the largest term: even 2^60 of them stay below the rounding of the sum.
constexpr double kNegligible = -80.0;

std::string text(std::size_t value) { return std::to_string(value); }

std::string text(double value) {
    char digits[32];
    std::snprintf(digits, sizeof digits, "%g", value);
    return is_nan(value) ? "nan" : digits; // printf would tell the sign of a NaN
}

std::string shape(Matrix<const double> matrix) { return "(" + text(matrix.rows) + ", " + text(matrix.cols) + ")"; }

} // namespace

// Most arrays are fine, and long: one fast look, and a slow one for the words.
void check_scores(Matrix<const double> scores, const char *name, bool one_dimensional) {
    if (simd::viterbi_kernels(simd_path()).valid(scores.data, scores.rows * scores.cols)) {
        return;
    }
    for (std::size_t row = 0; row < scores.rows; ++row) {
        for (std::size_t col = 0; col < scores.cols; ++col) {
            const double value = scores(row, col);
            if (value >= -kLargestScore && value <= kLargestScore) {
                continue;
            }
            if (!is_nan(value) && value == kNever) {
                continue;
            }
            const std::string place =
                one_dimensional ? " row " + text(col) : " row " + text(row) + ", column " + text(col);
            throw std::invalid_argument(name + place + " is " + text(value) +
                                        ", expected a log score within +-1e200, or -inf for what is impossible");
        }
    }
}

void check_emissions(Matrix<const double> log_emissions) { check_scores(log_emissions, "log_emissions", false); }

void check_transitions(Matrix<const double> log_transitions) {
    check_scores(log_transitions, "log_transitions", false);
}

void check_hsmm(Matrix<const double> log_emissions, const HsmmModel &model) {
    check_model(log_emissions, model);
    check_emissions(log_emissions);
    check_transitions(model.log_transitions);
}

void check_model(Matrix<const double> log_emissions, const HsmmModel &model) {
    const std::size_t states = log_emissions.cols;
    const std::string because = ", as log_emissions has " + text(states) + " columns";
    if (states == 0) {
        throw std::invalid_argument("log_emissions has no column, expected one for each state");
    }
    const std::size_t rows = model.log_transitions.rows;
    const bool each_frame = rows % states == 0 && rows / states == log_emissions.rows; // T * K could overflow
    if ((rows != states && !each_frame) || model.log_transitions.cols != states) {
        throw std::invalid_argument("log_transitions has shape " + shape(model.log_transitions) + ", expected (" +
                                    text(states) + ", " + text(states) + ")" + because +
                                    ", or one such matrix for each of the " + text(log_emissions.rows) + " frames");
    }
    if (model.log_initial.size() != states) {
        throw std::invalid_argument("log_initial has shape (" + text(model.log_initial.size()) + ",), expected (" +
                                    text(states) + ",)" + because);
    }
    if (model.log_durations.rows != states || model.log_durations.cols == 0) {
        throw std::invalid_argument("log_durations has shape " + shape(model.log_durations) + ", expected (" +
                                    text(states) + ", D) with D of at least 1" + because);
    }
    check_scores({model.log_initial.data(), 1, states}, "log_initial", true);
    check_scores(model.log_durations, "log_durations", false);
}

SegmentWeights::SegmentWeights(const HsmmModel &model, std::size_t frames)
    : durations(std::min(model.log_durations.cols, frames)) {
    const std::size_t states = model.log_durations.rows;
    const bool from_left = model.censoring == Censoring::left || model.censoring == Censoring::both;
    const bool to_right = model.censoring == Censoring::right || model.censoring == Censoring::both;
    inner_.resize(states * durations);
    for (std::size_t state = 0; state < states; ++state) {
        std::copy_n(model.log_durations.row(state).begin(), durations, inner_.data() + state * durations);
    }
    if (!from_left && !to_right) {
        return;
    }
    whole_ = inner_;
    if (from_left) {
        first_ = inner_;
    }
    if (to_right) {
        last_ = inner_;
    }
    for (std::size_t state = 0; state < states; ++state) {
        // Sums from the far end, of which a sum of plain probabilities would lose the tail: `scale` is taken from all
        // logarithms, and raised before one of them grows too large.
        constexpr double kRoom = 64.0;
        const double *weights = model.log_durations.row(state).data();
        double scale = kNever;
        double tail = 0.0;  // P(duration >= d), times exp(-scale)
        double tails = 0.0; // of those the sum over u >= d; at d = 1 it is the mean duration
        double survivor = kNever;
        double beyond = kNever;
        for (std::size_t d = model.log_durations.cols; d >= 1; --d) {
            const double weight = weights[d - 1];
            if (weight > scale + kRoom) {
                const double smaller = std::exp(scale - weight); // 0 for the first one
                tail *= smaller;
                tails *= smaller;
                scale = weight;
            }
            const double before = tail;
            tail += weight == kNever ? 0.0 : std::exp(weight - scale);
            if (tail != before) {
                survivor = scale + std::log(tail);
            }
            if (from_left && tail > 0.0) {
                tails += tail;
                beyond = scale + std::log(tails);
            }
            if (d > durations) {
                continue;
            }
            const std::size_t place = state * durations + d - 1;
            if (from_left) {
                first_[place] = survivor;
                whole_[place] = to_right ? beyond : survivor;
            } else {
                whole_[place] = survivor;
            }
            if (to_right) {
                last_[place] = survivor;
            }
        }
        if (from_left && beyond != kNever) {
            for (std::size_t place = state * durations; place < (state + 1) * durations; ++place) {
                first_[place] -= beyond;
                whole_[place] -= beyond;
            }
        }
    }
}

FrameOffsets::FrameOffsets(Matrix<const double> log_emissions) : offsets_(log_emissions.rows) {
    for (std::size_t t = 0; t < log_emissions.rows; ++t) {
        const auto frame = log_emissions.row(t);
        const double largest = *std::max_element(frame.begin(), frame.end());
        offsets_[t] = largest == kNever ? 0.0 : largest;
        total_ += offsets_[t];
    }
}

Maximum max_plus(const double *a, const double *b, std::size_t n) {
    // The value block by block over independent lanes, which the compiler can keep in vector registers; the index by
    // a second look at the one block that won. The maximum of finite numbers does not depend on the order.
    constexpr std::size_t kBlock = 64;
    constexpr std::size_t kLanes = 8;
    Maximum best{kNever, 0};
    std::size_t winner = n;
    for (std::size_t begin = 0; begin < n; begin += kBlock) {
        const std::size_t end = std::min(begin + kBlock, n);
        double block = kNever;
        std::size_t i = begin;
        if (end - begin == kBlock) {
            double lanes[kLanes];
            std::fill_n(lanes, kLanes, kNever);
            for (; i < end; i += kLanes) {
                for (std::size_t lane = 0; lane < kLanes; ++lane) {
                    const double sum = a[i + lane] + b[i + lane];
                    lanes[lane] = sum > lanes[lane] ? sum : lanes[lane];
                }
            }
            block = *std::max_element(lanes, lanes + kLanes);
        }
        for (; i < end; ++i) {
            const double sum = a[i] + b[i];
            block = sum > block ? sum : block;
        }
        if (block > best.value) {
            best.value = block;
            winner = begin;
        }
    }
    for (std::size_t i = winner; i < n; ++i) {
        if (a[i] + b[i] == best.value) {
            best.index = i;
            break;
        }
    }
    return best;
}

double log_sum_exp(const double *a, const double *b, std::size_t n) {
    const double largest = max_plus(a, b, n).value;
    if (largest == kNever) {
        return kNever;
    }
    double sum = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
        const double term = a[i] + b[i] - largest;
        sum += term > kNegligible ? std::exp(term) : 0.0;
    }
    return largest + std::log(sum);
}

double log_add_exp(double a, double b) {
    const double high = std::max(a, b);
    const double low = std::min(a, b);
    return low == kNever ? high : high + std::log1p(std::exp(low - high));
}

void enter_states(std::span<const double> scores, Matrix<const double> log_transitions, std::span<double> out) {
    const std::size_t states = scores.size();
    for (std::size_t to = 0; to < states; ++to) {
        double largest = kNever;
        for (std::size_t from = 0; from < states; ++from) {
            largest = std::max(largest, scores[from] + log_transitions(from, to));
        }
        double sum = 0.0;
        for (std::size_t from = 0; from < states && largest != kNever; ++from) {
            sum += std::exp(scores[from] + log_transitions(from, to) - largest);
        }
        out[to] = largest == kNever ? kNever : largest + std::log(sum);
    }
}

} // namespace conv2d::detail
