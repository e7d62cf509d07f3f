#include "check.hpp"

#include "conv2d/simd.hpp"
#include "conv2d/stream.hpp"

#include <random>
#include <string>
#include <vector>

using namespace conv2d;

namespace {

struct World {
    std::size_t states, durations, frames;
    std::vector<double> transitions, initial, lengths, emissions;

    World(std::mt19937 &engine, std::size_t most_frames)
        : states(1 + engine() % 9), durations(1 + engine() % 90), frames(1 + engine() % most_frames) {
        const bool whole = engine() % 2 == 0;
        const auto fill = [&](std::vector<double> &values, std::size_t count) {
            for (std::size_t n = 0; n < count; ++n) {
                const double score =
                    whole ? -static_cast<double>(engine() % 4) : -6.0 * std::uniform_real_distribution<>()(engine);
                values.push_back(engine() % 23 == 0 ? kNever : score);
            }
        };
        fill(transitions, states * states);
        fill(initial, states);
        fill(lengths, states * durations);
        fill(emissions, frames * states);
        for (std::size_t t = 0; t < frames; ++t) {
            emissions[t * states + engine() % states] = 0.0; // no row is -inf throughout
        }
    }
    [[nodiscard]] HsmmModel model(Censoring censoring) const {
        return {{transitions.data(), states, states}, initial, {lengths.data(), states, durations}, censoring};
    }
    [[nodiscard]] Matrix<const double> rows(std::size_t from, std::size_t to) const {
        return {emissions.data() + from * states, to - from, states};
    }
};

constexpr Censoring kAll[] = {Censoring::none, Censoring::right, Censoring::left, Censoring::both};

std::vector<Segment> joined(const std::vector<Segment> &segments) {
    std::vector<Segment> runs;
    for (const Segment &one : segments) {
        if (!runs.empty() && runs.back().state == one.state) {
            runs.back().end = one.end;
        } else {
            runs.push_back(one);
        }
    }
    return runs;
}

// False where no timeline is possible.
bool decode(HsmmStream &stream, const World &world, std::mt19937 &engine, std::size_t most, Timeline &timeline) {
    StreamOutput output;
    try {
        for (std::size_t t = 0; t < world.frames;) {
            const std::size_t to = std::min(world.frames, t + 1 + engine() % most);
            stream.push(world.rows(t, to), output);
            t = to;
            if (engine() % 16 == 0) {
                const auto saved = stream.save();
                stream.reset();
                stream.restore(saved);
            }
        }
        timeline.score = stream.flush(output);
    } catch (const std::invalid_argument &) {
        return false;
    }
    timeline.segments = output.segments;
    return true;
}

} // namespace

TEST_CASE("stream: the timeline of hsmm_viterbi on every path, saved and restored on the way") {
    std::mt19937 engine(11);
    const SimdPath before = simd_path();
    for (int round = 0; round < 60; ++round) {
        const World world(engine, 400);
        for (const Censoring censoring : kAll) {
            for (const bool join : {false, true}) {
                StreamOptions options;
                options.join = join;
                options.check_frames = 1 + static_cast<std::int64_t>(engine() % 9);
                std::string refused;
                Timeline offline;
                refused = tests::message_of(
                    [&] { offline = hsmm_viterbi(world.rows(0, world.frames), world.model(censoring)); });
                for (const SimdPath path : simd_paths()) {
                    use_simd_path(path);
                    HsmmStream stream(world.model(censoring), options);
                    Timeline live;
                    const bool possible = decode(stream, world, engine, 1 + engine() % 60, live);
                    CHECK(possible == refused.empty());
                    if (possible && refused.empty()) {
                        CHECK(live.score == offline.score);
                        CHECK(live.segments == (join ? joined(offline.segments) : offline.segments));
                    }
                }
                use_simd_path(before);
            }
        }
    }
}

TEST_CASE("stream: a bound holds, and what it gives does not hang on the pushes") {
    std::mt19937 engine(12);
    for (int round = 0; round < 60; ++round) {
        const World world(engine, 300);
        StreamOptions options;
        options.lag_frames = static_cast<std::int64_t>(engine() % 60);
        options.join = round % 2 == 0;
        HsmmStream first(world.model(Censoring::both), options);
        HsmmStream second(world.model(Censoring::both), options);
        Timeline frame_by_frame;
        Timeline together;
        const bool possible = decode(first, world, engine, 1, frame_by_frame);
        CHECK(possible == decode(second, world, engine, 70, together));
        if (!possible) {
            continue;
        }
        CHECK(frame_by_frame.segments == together.segments);
        CHECK(frame_by_frame.score == together.score);
        CHECK(first.forced_commits() == second.forced_commits());
        CHECK(first.forced_frames() == second.forced_frames());
        first.reset();
        StreamOutput output;
        for (std::size_t t = 0; t < world.frames; ++t) {
            first.push(world.rows(t, t + 1), output);
            CHECK(first.frames() - first.decided() <= *options.lag_frames);
        }
    }
}

TEST_CASE("stream: posteriors are shares, and damaged states are refused") {
    std::mt19937 engine(13);
    for (int round = 0; round < 40; ++round) {
        const World world(engine, 60);
        StreamOptions options;
        options.filtered = true;
        options.smoothing_lag_frames = static_cast<std::int64_t>(engine() % 12);
        options.lag_frames = 20;
        HsmmStream stream(world.model(Censoring::right), options);
        StreamOutput output;
        if (!tests::message_of([&] { stream.push(world.rows(0, world.frames), output); }).empty()) {
            continue;
        }
        static_cast<void>(stream.flush(output));
        CHECK(output.filtered.size() == world.frames * world.states);
        CHECK(output.smoothed.size() == world.frames * world.states);
        for (const auto *shares : {&output.filtered, &output.smoothed}) {
            for (std::size_t t = 0; t < world.frames; ++t) {
                double sum = 0.0;
                for (std::size_t k = 0; k < world.states; ++k) {
                    sum += (*shares)[t * world.states + k];
                }
                CHECK(tests::close(sum, 1.0));
            }
        }
        const auto saved = stream.save();
        for (int damage = 0; damage < 20; ++damage) {
            auto damaged = saved;
            damaged[engine() % damaged.size()] ^= static_cast<std::byte>(1 + engine() % 255);
            CHECK(!tests::message_of([&] { stream.restore(damaged); }).empty());
            damaged.resize(engine() % damaged.size());
            CHECK(!tests::message_of([&] { stream.restore(damaged); }).empty());
        }
        CHECK(stream.save() == saved);
    }
}
