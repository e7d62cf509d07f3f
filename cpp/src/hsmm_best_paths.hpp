// Scores of the best paths of one recording, by place and state.
#pragma once

#include "hsmm_model.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace conv2d::detail {

class BestPaths {
  public:
    BestPaths(Matrix<const double> log_emissions, const HsmmModel &model)
        : emissions_(log_emissions), model_(model), weights_(model, log_emissions.rows), offsets_(log_emissions),
          entered_(log_emissions.rows * states()), ended_((log_emissions.rows + 1) * states()) {
        std::copy(model.log_initial.begin(), model.log_initial.end(), entered_.begin());
        std::vector<double> scores;
        for (std::size_t end = 1; end <= frames(); ++end) {
            for (std::size_t k = 0; k < states(); ++k) {
                durations(end, k, scores);
                ended_[end * states() + k] = *std::max_element(scores.begin(), scores.end());
            }
            for (std::size_t k = 0; k < states() && end < frames(); ++k) {
                double best = kNever;
                for (std::size_t from = 0; from < states(); ++from) {
                    best = std::max(best, ended(end, from) + change(end, from, k));
                }
                entered_[end * states() + k] = best;
            }
        }
        const double *final = ended_.data() + frames() * states();
        best_ = *std::max_element(final, final + states());
        if (best_ == kNever) {
            throw_impossible(log_emissions, model);
        }
        best_ += offsets_.total();
    }

    [[nodiscard]] std::size_t frames() const { return emissions_.rows; }
    [[nodiscard]] std::size_t states() const { return emissions_.cols; }
    [[nodiscard]] double best() const { return best_; }
    [[nodiscard]] double entered(std::size_t place, std::size_t state) const {
        return entered_[place * states() + state];
    }
    [[nodiscard]] double ended(std::size_t place, std::size_t state) const { return ended_[place * states() + state]; }
    [[nodiscard]] double change(std::size_t, std::size_t from, std::size_t to) const {
        return model_.log_transitions(from, to);
    }
    void durations(std::size_t end, std::size_t state, std::vector<double> &scores) const {
        scores.clear();
        double seen = 0.0;
        for (std::size_t d = 1; d <= std::min(end, weights_.durations); ++d) {
            const std::size_t start = end - d;
            seen += emissions_(start, state) - offsets_[start];
            const double *table = end == frames() ? (start == 0 ? weights_.whole(state) : weights_.last(state))
                                                  : (start == 0 ? weights_.first(state) : weights_.inner(state));
            scores.push_back(entered(start, state) + seen + table[d - 1]);
        }
    }

  private:
    Matrix<const double> emissions_;
    const HsmmModel &model_;
    SegmentWeights weights_;
    FrameOffsets offsets_;
    std::vector<double> entered_;
    std::vector<double> ended_;
    double best_ = 0.0;
};

} // namespace conv2d::detail
