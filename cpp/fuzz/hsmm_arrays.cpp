// Any bit pattern as a score and any shape: the decoders answer, or refuse with a sentence; nothing else happens.
#include "hsmm_problem.hpp"

#include "conv2d/hsmm_posteriors.hpp"

using namespace conv2d;
using namespace conv2d::fuzz;

namespace {

std::vector<double> any_scores(Input &input, std::size_t count) {
    std::vector<double> values(count);
    const std::size_t odd = input.below(4);
    for (double &value : values) {
        switch (input.below(odd == 0 ? 64 : 4)) {
        case 3:
            value = std::bit_cast<double>(input.bits(8)); // NaN, infinities, subnormals
            break;
        case 2:
            value = input.flag() ? 1e200 : -1e200; // the ends of what is allowed
            break;
        case 1:
            value = kNever;
            break;
        default:
            value = input.real(-9.0, 3.0);
        }
    }
    return values;
}

bool usable(const std::vector<double> &scores) {
    return std::all_of(scores.begin(), scores.end(),
                       [](double score) { return score == kNever || (score >= -1e200 && score <= 1e200); });
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    Input input(data, size);
    const std::size_t frames = input.below(24);
    const std::size_t states = input.below(9);
    const bool fits = input.below(4) != 0;
    const auto about = [&](std::size_t count) { return fits ? count : input.below(count + 3); };
    const std::size_t rows = about(states);
    const std::size_t cols = about(states);
    const std::size_t starts = about(states);
    const std::size_t laws = about(states);
    const std::size_t durations = input.below(20);
    const auto emissions = any_scores(input, frames * states);
    const auto transitions = any_scores(input, rows * cols);
    const auto initial = any_scores(input, starts);
    const auto lengths = any_scores(input, laws * durations);
    const HsmmModel model{{transitions.data(), rows, cols},
                          initial,
                          {lengths.data(), laws, durations},
                          static_cast<Censoring>(input.below(4))};
    const Matrix<const double> seen{emissions.data(), frames, states};
    std::vector<double> shares(frames * states);
    const Matrix<double> out{shares.data(), frames, states};

    const auto decoded = on_every_path([&] {
        const Timeline timeline = hsmm_viterbi(seen, model);
        Words words;
        append(words, timeline.score);
        for (const Segment &segment : timeline.segments) {
            append(words, std::vector{segment.state, segment.start, segment.end});
        }
        return words;
    });
    const auto smoothed = on_every_path([&] {
        Words words;
        append(words, hsmm_forward_backward(seen, model, out));
        append(words, shares);
        return words;
    });
    const auto filtered = on_every_path([&] {
        Words words;
        append(words, hsmm_filter(seen, model, out));
        append(words, shares);
        return words;
    });
    const bool square = states > 0 && cols == states && starts == states && laws == states && durations > 0 &&
                        (rows == states || (rows == frames * states && frames > 0));
    const bool numbers = usable(emissions) && usable(transitions) && usable(initial) && usable(lengths);
    if (!square || !numbers) {
        for (const Outcome *outcome : {&decoded, &smoothed, &filtered}) {
            expect(!outcome->refused.empty(),
                   "that shapes which do not match and values that are no scores are refused");
        }
    }
    return 0;
}
