// HsmmStream in random pieces, saved and restored between them on another SIMD path, against the offline decoders.
#include "hsmm_problem.hpp"

#include "conv2d/hsmm_posteriors.hpp"
#include "conv2d/stream.hpp"

using namespace conv2d;
using namespace conv2d::fuzz;

namespace {

struct Run {
    std::vector<Segment> segments;
    std::vector<double> filtered, smoothed;
    double score = 0.0;
    std::int64_t forced = 0;
};

struct Plan {
    StreamOptions options;
    std::vector<std::size_t> pieces;
    std::vector<bool> moves; // to a stream that is made anew and restored, after each piece
    bool changes_path = false;
    bool ends = true;
};

void check_between(const HsmmStream &stream, const Run &run, const HsmmProblem &problem, std::int64_t frames) {
    expect(stream.frames() == frames, "that all frames were taken in");
    expect(stream.decided() <= frames, "that no frame is decided before it comes");
    const std::int64_t given = run.segments.empty() ? 0 : run.segments.back().end;
    expect(given <= stream.decided(), "that segments are decided");
    if (const auto open = stream.open()) {
        expect(open->start == given && open->until > open->start && open->until <= frames, "where the open one lies");
        expect(open->state >= 0 && open->state < static_cast<std::int64_t>(problem.states), "which state is open");
    }
    std::int64_t at = given;
    const std::vector<Segment> guess = stream.tentative(); // empty, too, while nothing is possible
    for (const Segment &segment : guess) {
        expect(segment.start == at && segment.end > segment.start, "that a guess has no gap");
        at = segment.end;
    }
    expect(guess.empty() || at == frames, "that a guess covers the frames that are not given out");
}

Run run_stream(const HsmmProblem &problem, const Plan &plan) {
    const auto paths = simd_paths();
    HsmmStream stream(problem.model(), plan.options);
    Run run;
    StreamOutput output; // to which every push appends
    const auto collect = [&] {
        run.segments.insert(run.segments.end(), output.segments.begin(), output.segments.end());
        run.filtered.insert(run.filtered.end(), output.filtered.begin(), output.filtered.end());
        run.smoothed.insert(run.smoothed.end(), output.smoothed.begin(), output.smoothed.end());
        output = {};
    };
    std::size_t at = 0;
    for (std::size_t n = 0; n < plan.pieces.size(); ++n) {
        stream.push({problem.emissions.data() + at * problem.states, plan.pieces[n], problem.states}, output);
        at += plan.pieces[n];
        collect();
        check_between(stream, run, problem, static_cast<std::int64_t>(at));
        if (plan.moves[n]) {
            const std::vector<std::byte> saved = stream.save();
            HsmmStream other(problem.model(), plan.options);
            other.restore(saved);
            expect(other.save() == saved, "that what was restored saves the same");
            stream = std::move(other);
        }
        if (plan.changes_path) {
            use_simd_path(paths[n % paths.size()]);
        }
    }
    run.score = stream.flush(output, plan.ends);
    collect();
    run.forced = stream.forced_commits();
    expect(stream.flushed(), "that a flush ends the recording");
    return run;
}

Words words_of(const Run &run) {
    Words words;
    append(words, run.score);
    append(words, run.forced);
    for (const Segment &segment : run.segments) {
        append(words, std::vector{segment.state, segment.start, segment.end});
    }
    append(words, run.filtered);
    append(words, run.smoothed);
    return words;
}

Plan draw_plan(Input &input, const HsmmProblem &problem, const std::vector<double> &log_final) {
    Plan plan;
    if (input.below(3) == 0) {
        plan.options.lag_frames = static_cast<std::int64_t>(input.below(input.flag() ? 8 : 120));
    }
    plan.options.filtered = input.flag();
    if (input.flag()) {
        plan.options.smoothing_lag_frames = static_cast<std::int64_t>(input.below(20));
    }
    plan.options.check_frames = static_cast<std::int64_t>(input.flag() ? 1 : input.between(1, 60));
    plan.options.log_final = log_final;
    plan.ends = input.below(4) != 0;
    for (std::size_t at = 0; at < problem.frames;) {
        const std::size_t most = problem.frames - at;
        const std::size_t piece = std::min(most, input.flag() ? input.below(4) : input.between(1, 64));
        plan.pieces.push_back(input.empty() ? most : piece);
        plan.moves.push_back(input.below(4) == 0);
        at += plan.pieces.back();
    }
    return plan;
}

void check_posteriors(const HsmmProblem &problem, const Plan &plan, const Run &run) {
    const std::size_t states = problem.states;
    const bool left = problem.censoring == Censoring::left || problem.censoring == Censoring::both;
    HsmmProblem prefix = problem;
    prefix.censoring = left ? Censoring::both : Censoring::right;
    const double tolerance = 1e-7 + 1e-10 * magnitude(problem);
    if (plan.options.filtered) {
        std::vector<double> filtered(problem.frames * states);
        hsmm_filter(problem.seen(), prefix.model(), {filtered.data(), problem.frames, states});
        expect(run.filtered.size() == filtered.size(), "that every frame is filtered");
        for (std::size_t i = 0; i < filtered.size(); ++i) {
            expect(std::abs(run.filtered[i] - filtered[i]) <= tolerance, "the filtered probabilities of a stream");
        }
    }
    if (plan.options.smoothing_lag_frames) {
        const auto lag = static_cast<std::size_t>(*plan.options.smoothing_lag_frames);
        expect(run.smoothed.size() == problem.frames * states, "that every frame is smoothed");
        for (std::size_t t = 0; t + lag < problem.frames; t += 1 + problem.frames / 6) {
            prefix.frames = t + lag + 1;
            std::vector<double> posteriors(prefix.frames * states);
            hsmm_forward_backward(prefix.seen(), prefix.model(), {posteriors.data(), prefix.frames, states});
            for (std::size_t k = 0; k < states; ++k) {
                expect(std::abs(run.smoothed[t * states + k] - posteriors[t * states + k]) <= tolerance,
                       "the smoothed probabilities of a stream");
            }
        }
    }
}

// Bytes that no stream of this model wrote: refused, and nothing has changed.
void check_damaged(Input &input, const HsmmProblem &problem, const Plan &plan) {
    HsmmStream stream(problem.model(), plan.options);
    StreamOutput output;
    stream.push({problem.emissions.data(), problem.frames / 2, problem.states}, output);
    const std::vector<std::byte> saved = stream.save();
    std::vector<std::byte> damaged = saved;
    switch (input.below(4)) {
    case 0:
        damaged.resize(input.below(damaged.size()));
        break;
    case 1:
        damaged.insert(damaged.end(), input.between(1, 40), std::byte{0});
        break;
    case 2:
        damaged.clear();
        for (std::size_t n = input.below(300); n > 0; --n) {
            damaged.push_back(static_cast<std::byte>(input.bits(1)));
        }
        break;
    default:
        damaged[input.below(damaged.size())] ^= static_cast<std::byte>(1 + input.below(255));
    }
    std::string refused;
    try {
        stream.restore(damaged);
    } catch (const std::invalid_argument &error) {
        refused = error.what();
    }
    expect(!refused.empty(), "that damaged bytes are refused");
    expect(stream.save() == saved, "that a refused restore changes nothing");
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
    Input input(data, size);
    const HsmmProblem problem = draw_problem(input, 160, false);
    std::vector<double> log_final;
    if (input.below(4) == 0) {
        for (std::size_t k = 0; k < problem.states; ++k) {
            log_final.push_back(input.below(6) == 0 ? kNever : -static_cast<double>(input.below(4)));
        }
    }
    Plan plan = draw_plan(input, problem, log_final);
    Run run;
    const Outcome outcome = on_every_path([&] {
        run = run_stream(problem, plan);
        return words_of(run);
    });
    plan.changes_path = true;
    const Outcome moving = on_every_path([&] { return words_of(run_stream(problem, plan)); });
    expect(moving == outcome, "that a stream can go on on another path");

    HsmmProblem offline = problem;
    for (std::size_t k = 0; k < log_final.size() && plan.ends && problem.frames > 0; ++k) {
        offline.emissions[(problem.frames - 1) * problem.states + k] += log_final[k];
    }
    Timeline whole;
    const Outcome decoded = on_every_path([&] {
        whole = hsmm_viterbi(offline.seen(), offline.model());
        return Words{};
    });
    if (!outcome.refused.empty()) {
        expect(!decoded.refused.empty() || run.forced > 0 || plan.options.lag_frames.has_value(),
               "that a stream refuses only what has no timeline (" + outcome.refused + ")");
        return 0;
    }
    if (problem.frames == 0) {
        expect(run.segments.empty(), "that nothing comes of nothing");
        return 0;
    }
    const Survivors sums(offline);
    const auto score = score_of(offline, sums, run.segments);
    expect(score.has_value(), "that the segments cover the recording");
    expect(std::abs(*score - run.score) <= 1e-12 * magnitude(offline), "that the score is that of the segments");
    if (run.forced == 0) {
        expect(decoded.refused.empty(), "that what was streamed can be decoded (" + decoded.refused + ")");
        expect(run.segments == whole.segments, "that the stream gives what hsmm_viterbi gives");
    } else {
        expect(plan.options.lag_frames.has_value(), "that only a bound forces a choice");
    }
    use_simd_path(simd_paths().back());
    check_posteriors(problem, plan, run);
    check_damaged(input, problem, plan);
    return 0;
}
