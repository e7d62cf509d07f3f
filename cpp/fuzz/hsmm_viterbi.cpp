// hsmm_viterbi against the definition: the score, the path where sums are exact, all SIMD paths bit for bit.
#include "hsmm_problem.hpp"

using namespace conv2d;
using namespace conv2d::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    Input input(data, size);
    const HsmmProblem problem = draw_problem(input, 160, true);
    const Survivors sums(problem);
    const Timeline expected = plain_viterbi(problem, sums);
    Timeline found;
    const Outcome outcome = on_every_path([&] {
        found = hsmm_viterbi(problem.seen(), problem.model());
        Words words;
        append(words, found.score);
        for (const Segment &segment : found.segments) {
            append(words, std::vector{segment.state, segment.start, segment.end});
        }
        return words;
    });
    if (!outcome.refused.empty()) {
        expect(expected.score == kNever, "that only the impossible is refused (" + outcome.refused + ")");
        return 0;
    }
    expect(expected.score != kNever, "that the impossible is refused");
    const double tolerance = 1e-12 * magnitude(problem);
    const auto score = score_of(problem, sums, found.segments);
    expect(score.has_value(), "that the segments cover the recording");
    expect(std::abs(found.score - expected.score) <= tolerance, "that the score is the best one");
    expect(std::abs(*score - expected.score) <= tolerance, "that the segments have that score");
    if (problem.whole && problem.censoring == Censoring::none) {
        expect(found.score == expected.score, "that a sum of whole numbers is exact");
        expect(found.segments == expected.segments, "that ties are decided by the rule");
    }
    return 0;
}
