#include "hsmm_viterbi_pass.hpp"

#include <algorithm>

namespace conv2d {

Timeline hsmm_viterbi(Matrix<const double> log_emissions, const HsmmModel &model) {
    detail::check_model(log_emissions, model);
    const std::size_t frames = log_emissions.rows;
    const bool by_frame = model.log_transitions.rows != log_emissions.cols;
    if (!by_frame) {
        detail::check_transitions(model.log_transitions);
    }
    if (frames == 0) {
        return {};
    }
    detail::ViterbiPass pass(model, frames);
    pass.push(log_emissions,
              model.log_transitions.rows == log_emissions.cols ? Matrix<const double>{} : model.log_transitions);
    const auto scores = pass.end_scores();
    const auto last = std::max_element(scores.begin(), scores.end()); // the first of equals
    if (*last == kNever) {
        detail::throw_impossible(log_emissions, model);
    }
    return {pass.absolute(*last), pass.path(static_cast<std::size_t>(last - scores.begin()))};
}

} // namespace conv2d
