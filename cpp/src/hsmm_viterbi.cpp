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
    Timeline timeline{pass.absolute(*last), {}};
    auto state = static_cast<std::size_t>(last - scores.begin());
    std::size_t start = frames - pass.last_duration(state);
    for (std::size_t end = frames;;) {
        timeline.segments.push_back(
            {static_cast<std::int64_t>(state), static_cast<std::int64_t>(start), static_cast<std::int64_t>(end)});
        if (start == 0) {
            break;
        }
        state = pass.origin(start, state);
        end = start;
        start = end - pass.duration(end, state);
    }
    std::reverse(timeline.segments.begin(), timeline.segments.end());
    return timeline;
}

} // namespace conv2d
