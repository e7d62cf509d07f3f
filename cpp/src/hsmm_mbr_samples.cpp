#include "hsmm_forward.hpp"
#include "hsmm_mbr.hpp"
#include "hsmm_runs.hpp"

#include "conv2d/hsmm_posteriors.hpp"

#include <algorithm>
#include <cstdint>

namespace conv2d {
namespace detail {
namespace {

// 0 for what has a finite score.
std::vector<double> possible(const double *weights, std::size_t count) {
    std::vector<double> scores(count);
    std::transform(weights, weights + count, scores.begin(),
                   [](double weight) { return weight == kNever ? kNever : 0.0; });
    return scores;
}

} // namespace

// The Viterbi recursion with posteriors for emissions, and nothing else that counts.
std::vector<std::int64_t> labels_of_least_errors(Matrix<const double> log_emissions, const HsmmModel &model,
                                                 Matrix<const double> posteriors) {
    const std::size_t frames = log_emissions.rows;
    const std::size_t states = log_emissions.cols;
    const std::size_t stride = frames + 1;
    const SegmentWeights weights(model, frames);
    const std::size_t window = weights.durations;
    std::vector<std::vector<double>> inner, first, last, whole;
    for (std::size_t k = 0; k < states; ++k) {
        inner.push_back(possible(weights.inner(k), window));
        first.push_back(possible(weights.first(k), window));
        last.push_back(possible(weights.last(k), window));
        whole.push_back(possible(weights.whole(k), window));
    }
    std::vector<double> sums(states, 0.0);
    std::vector<double> ended(states, kNever);
    std::vector<std::size_t> clear(states, 0);           // the place behind the last impossible frame
    std::vector<double> places(states * stride, kNever); // score less the sum there, the nearest place first
    std::vector<std::size_t> durations(frames * states, 0);
    std::vector<std::size_t> origins(frames * states, 0);
    const auto at = [&](std::size_t place, std::size_t k) -> double & {
        return places[k * stride + (stride - 1 - place)];
    };
    for (std::size_t k = 0; k < states; ++k) {
        at(0, k) = model.log_initial[k] == kNever ? kNever : 0.0;
    }
    for (std::size_t end = 1; end <= frames; ++end) {
        for (std::size_t k = 0; k < states; ++k) {
            if (log_emissions(end - 1, k) == kNever) {
                clear[k] = end;
            }
            sums[k] += probability(posteriors(end - 1, k));
            const double *nearest = &at(end - 1, k);
            const std::size_t reach = std::min(window, end - clear[k]);
            const auto &later = end == frames ? last[k] : inner[k];
            const auto &opening = end == frames ? whole[k] : first[k];
            Maximum best = max_plus(nearest, later.data(), std::min(reach, end - 1));
            if (reach == end && nearest[end - 1] + opening[end - 1] > best.value) {
                best = {nearest[end - 1] + opening[end - 1], end - 1};
            }
            ended[k] = sums[k] + best.value;
            durations[(end - 1) * states + k] = best.index + 1;
        }
        for (std::size_t to = 0; to < states && end < frames; ++to) {
            double best = kNever;
            for (std::size_t from = 0; from < states; ++from) {
                if (ended[from] > best && transitions_into(model, end)(from, to) != kNever) {
                    best = ended[from];
                    origins[end * states + to] = from;
                }
            }
            at(end, to) = best - sums[to];
        }
    }
    std::vector<std::int64_t> labels(frames);
    auto state = static_cast<std::size_t>(std::max_element(ended.begin(), ended.end()) - ended.begin());
    for (std::size_t end = frames; end > 0;) {
        const std::size_t start = end - durations[(end - 1) * states + state];
        std::fill(labels.begin() + static_cast<std::ptrdiff_t>(start),
                  labels.begin() + static_cast<std::ptrdiff_t>(end), static_cast<std::int64_t>(state));
        state = origins[start * states + state];
        end = start;
    }
    return labels;
}

Timeline best_with_labels(Matrix<const double> log_emissions, const HsmmModel &model,
                          std::span<const std::int64_t> labels) {
    std::vector<double> only(log_emissions.rows * log_emissions.cols, kNever);
    for (std::size_t t = 0; t < log_emissions.rows; ++t) {
        const auto label = static_cast<std::size_t>(labels[t]);
        only[t * log_emissions.cols + label] = log_emissions(t, label);
    }
    return hsmm_viterbi({only.data(), log_emissions.rows, log_emissions.cols}, model);
}

double expected_accuracy(Matrix<const double> posteriors, std::span<const std::int64_t> labels) {
    double right = 0.0;
    for (std::size_t t = 0; t < posteriors.rows; ++t) {
        right += probability(posteriors(t, static_cast<std::size_t>(labels[t])));
    }
    return posteriors.rows == 0 ? 1.0 : std::min(right / static_cast<double>(posteriors.rows), 1.0);
}

} // namespace detail

Decision hsmm_mbr_samples(Matrix<const double> log_emissions, const HsmmModel &model) {
    std::vector<double> shares(log_emissions.rows * log_emissions.cols);
    hsmm_forward_backward(log_emissions, model, {shares.data(), log_emissions.rows, log_emissions.cols});
    if (log_emissions.rows == 0) {
        return {};
    }
    const Matrix<const double> posteriors{shares.data(), log_emissions.rows, log_emissions.cols};
    const auto labels = detail::labels_of_least_errors(log_emissions, model, posteriors);
    return {detail::best_with_labels(log_emissions, model, labels), detail::expected_accuracy(posteriors, labels)};
}

} // namespace conv2d
