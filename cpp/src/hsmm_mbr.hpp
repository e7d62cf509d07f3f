// What the two decisions of least expected loss share.
#pragma once

#include "conv2d/timelines.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace conv2d::detail {

// The labels (T,) of hsmm_mbr_samples, given the posteriors (T, K) of the same; T > 0.
[[nodiscard]] std::vector<std::int64_t> labels_of_least_errors(Matrix<const double> log_emissions,
                                                               const HsmmModel &model, Matrix<const double> posteriors);

// The best segmentation of given labels. Throws as hsmm_viterbi does when they have none.
[[nodiscard]] Timeline best_with_labels(Matrix<const double> log_emissions, const HsmmModel &model,
                                        std::span<const std::int64_t> labels);

// The mean posterior of the labels, 1 for none.
[[nodiscard]] double expected_accuracy(Matrix<const double> posteriors, std::span<const std::int64_t> labels);

} // namespace conv2d::detail
