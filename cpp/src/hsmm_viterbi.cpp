#include "hsmm_model.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace conv2d {

using detail::OpenPlaces;

Timeline hsmm_viterbi(Matrix<const double> log_emissions, const HsmmModel &model) {
    detail::check_hsmm(log_emissions, model);
    const std::size_t frames = log_emissions.rows;
    const std::size_t states = log_emissions.cols;
    if (frames == 0) {
        return {};
    }
    const detail::SegmentWeights weights(model, frames);
    const detail::FrameOffsets offsets(log_emissions);
    const std::size_t window = weights.durations;

    // Where the best path into a place came from: the duration of the segment that ends there in a state, and the
    // state before the segment that begins there in a state.
    constexpr std::size_t kMost = std::numeric_limits<std::uint32_t>::max();
    if (window > kMost || states > kMost) {
        throw std::invalid_argument("log_durations has more than 2^32 - 1 states or durations, expected fewer");
    }
    std::vector<std::uint32_t> durations(frames * states, 0);
    std::vector<std::uint32_t> before(frames * states, 0);
    std::vector<double> ended(states);
    std::vector<double> entered(states);
    OpenPlaces starts(states, frames, window);
    for (std::size_t k = 0; k < states; ++k) {
        starts.open(0, k, model.log_initial[k]);
    }

    for (std::size_t end = 1; end <= frames; ++end) {
        const std::size_t t = end - 1;
        for (std::size_t k = 0; k < states; ++k) {
            starts.advance(t, k, log_emissions(t, k) - offsets[t]);
            const double *places = starts.nearest_first(end, k);
            const double *later = end == frames ? weights.last(k) : weights.inner(k);
            const double *opening = end == frames ? weights.whole(k) : weights.first(k);
            // Nearest places first, so that of equal scores the shortest duration wins; the first segment of the
            // recording is the longest possible and must be strictly better.
            auto best = detail::max_plus(places, later, std::min(end - 1, window));
            if (end <= window && places[end - 1] + opening[end - 1] > best.value) {
                best = {places[end - 1] + opening[end - 1], end - 1};
            }
            ended[k] = starts.sum(k) + best.value;
            durations[t * states + k] = static_cast<std::uint32_t>(best.index + 1);
        }
        if (end == frames) {
            break;
        }
        std::fill(entered.begin(), entered.end(), kNever);
        std::uint32_t *origin = before.data() + end * states;
        for (std::size_t from = 0; from < states; ++from) {
            const auto row = model.log_transitions.row(from);
            for (std::size_t to = 0; to < states; ++to) {
                const double score = ended[from] + row[to];
                if (score > entered[to]) {
                    entered[to] = score;
                    origin[to] = static_cast<std::uint32_t>(from);
                }
            }
        }
        for (std::size_t k = 0; k < states; ++k) {
            starts.open(end, k, entered[k]);
        }
    }

    const auto final = std::max_element(ended.begin(), ended.end()); // the first of equals
    if (*final == kNever) {
        detail::throw_impossible(log_emissions, model);
    }
    Timeline timeline{*final + offsets.total(), {}};
    auto state = static_cast<std::size_t>(final - ended.begin());
    for (std::size_t end = frames; end > 0;) {
        const std::size_t start = end - durations[(end - 1) * states + state];
        timeline.segments.push_back(
            {static_cast<std::int64_t>(state), static_cast<std::int64_t>(start), static_cast<std::int64_t>(end)});
        state = before[start * states + state];
        end = start;
    }
    std::reverse(timeline.segments.begin(), timeline.segments.end());
    return timeline;
}

} // namespace conv2d
