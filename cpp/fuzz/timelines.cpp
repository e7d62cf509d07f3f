// The k best timelines of small problems against all segmentations there are.
#include "hsmm_problem.hpp"

#include "conv2d/timelines.hpp"

#include <functional>
#include <map>

using namespace conv2d;
using namespace conv2d::fuzz;

namespace {

using Key = std::vector<std::int64_t>; // from the end backwards: state, duration, ... as equal scores are ordered

Key key_of(const std::vector<Segment> &segments) {
    Key key;
    for (auto segment = segments.rbegin(); segment != segments.rend(); ++segment) {
        key.insert(key.end(), {segment->state, segment->end - segment->start});
    }
    return key;
}

std::vector<Segment> joined(const std::vector<Segment> &segments) {
    std::vector<Segment> labels;
    for (const Segment &segment : segments) {
        if (!labels.empty() && labels.back().state == segment.state) {
            labels.back().end = segment.end;
        } else {
            labels.push_back(segment);
        }
    }
    return labels;
}

// Score of every timeline that is possible.
std::map<Key, double> all_timelines(const HsmmProblem &problem, const Survivors &sums, Distinct distinct) {
    std::map<Key, double> all;
    std::vector<Segment> path;
    const std::function<void(std::size_t)> grow = [&](std::size_t start) {
        if (start == problem.frames) {
            const double score = *score_of(problem, sums, path);
            if (score != kNever) {
                const Key key = key_of(distinct == Distinct::labels ? joined(path) : path);
                const auto [place, fresh] = all.emplace(key, score);
                place->second = fresh ? score : std::max(place->second, score);
            }
            return;
        }
        for (std::size_t state = 0; state < problem.states; ++state) {
            for (std::size_t end = start + 1; end <= std::min(problem.frames, start + problem.durations); ++end) {
                path.push_back({static_cast<std::int64_t>(state), static_cast<std::int64_t>(start),
                                static_cast<std::int64_t>(end)});
                grow(end);
                path.pop_back();
            }
        }
    };
    grow(0);
    return all;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    Input input(data, size);
    const std::size_t count = input.below(40);
    const Distinct distinct = input.flag() ? Distinct::labels : Distinct::segments;
    HsmmProblem problem = draw_problem(input, input.flag() ? 6 : 30, true);
    const Survivors sums(problem);
    std::vector<Timeline> found;
    const Outcome outcome = on_every_path([&] {
        found = hsmm_kbest(problem.seen(), problem.model(), count, distinct);
        Words words;
        for (const Timeline &timeline : found) {
            append(words, timeline.score);
            append(words, key_of(timeline.segments));
        }
        return words;
    });
    if (count == 0) {
        expect(!outcome.refused.empty(), "that none is refused");
        return 0;
    }
    const Outcome best = on_every_path([&] {
        const Timeline timeline = hsmm_viterbi(problem.seen(), problem.model());
        Words words;
        append(words, timeline.score);
        append(words, key_of(distinct == Distinct::labels ? joined(timeline.segments) : timeline.segments));
        return words;
    });
    expect(outcome.refused == best.refused, "that the k best refuse what the best one does (" + outcome.refused + ")");
    if (!outcome.refused.empty()) {
        return 0;
    }
    expect(!found.empty() && found.size() <= count, "that there is a best one and no more than asked for");
    Words first;
    append(first, found.front().score);
    append(first, key_of(found.front().segments));
    const bool exact = problem.whole && problem.censoring == Censoring::none;
    const double tolerance = 1e-12 * magnitude(problem);
    if (distinct == Distinct::segments) {
        expect(first == best.words, "that the first is the best");
    }
    std::map<Key, double> seen;
    for (std::size_t n = 0; n < found.size(); ++n) {
        const Key key = key_of(found[n].segments);
        expect(seen.emplace(key, found[n].score).second, "that no timeline comes twice");
        expect(n == 0 || found[n].score <= found[n - 1].score, "that scores descend");
        if (exact && n > 0 && found[n].score == found[n - 1].score) {
            expect(key_of(found[n - 1].segments) < key, "that equal scores come in order");
        }
        if (distinct == Distinct::segments) {
            const auto score = score_of(problem, sums, found[n].segments);
            expect(score.has_value() && std::abs(*score - found[n].score) <= tolerance, "the score of a timeline");
        }
    }
    if (problem.frames > 6 || problem.states > 3) {
        return 0;
    }
    const auto all = all_timelines(problem, sums, distinct);
    expect(found.size() == std::min(count, all.size()), "that as many come as there are");
    std::vector<double> scores;
    for (const auto &[key, score] : all) {
        scores.push_back(score);
    }
    std::sort(scores.begin(), scores.end(), std::greater<>{});
    for (std::size_t n = 0; n < found.size(); ++n) {
        const auto place = all.find(key_of(found[n].segments));
        expect(place != all.end(), "that a timeline is possible");
        expect(std::abs(place->second - found[n].score) <= tolerance, "the score of a timeline among all");
        expect(std::abs(scores[n] - found[n].score) <= tolerance, "that nothing better is left out");
    }
    return 0;
}
