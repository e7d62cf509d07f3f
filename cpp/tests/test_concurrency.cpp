#include "check.hpp"

#include "conv2d/fsq.hpp"
#include "conv2d/hsmm.hpp"
#include "conv2d/hsmm_posteriors.hpp"
#include "conv2d/smoothing.hpp"

#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <vector>

using namespace conv2d;

namespace {

// Runs `work(n)` for n = 0 .. kJobs - 1 one after the other, then all of them on several threads at once and several
// times: each must give what it gave alone.
template <typename Work> bool same_alone_and_together(Work &&work) {
    constexpr std::size_t kJobs = 6;
    constexpr std::size_t kThreads = 4;
    using Result = decltype(work(std::size_t{0}));
    std::vector<std::vector<Result>> together(kThreads, std::vector<Result>(kJobs));
    std::vector<std::thread> threads;
    for (std::size_t id = 0; id < kThreads; ++id) {
        threads.emplace_back([&together, &work, id] {
            for (std::size_t n = 0; n < kJobs; ++n) {
                const std::size_t job = (n + id) % kJobs; // all threads in different places, also at the same one
                together[id][job] = work(job);
            }
        });
    }
    for (auto &thread : threads) {
        thread.join();
    }
    std::vector<Result> alone;
    for (std::size_t n = 0; n < kJobs; ++n) {
        alone.push_back(work(n));
    }
    for (const auto &results : together) {
        if (results != alone) {
            return false;
        }
    }
    return true;
}

struct Problem {
    explicit Problem(std::size_t seed) : random(static_cast<std::uint32_t>(seed)), frames(60 + 40 * seed) {
        const auto scores = [this](std::size_t count) {
            std::vector<double> values(count);
            for (double &value : values) {
                value = -std::uniform_real_distribution<>(0.0, 5.0)(random);
            }
            return values;
        };
        emissions = scores(frames * states);
        transitions = scores(states * states);
        initial = scores(states);
        lengths = scores(states * durations);
    }
    [[nodiscard]] Matrix<const double> seen() const { return {emissions.data(), frames, states}; }
    [[nodiscard]] HsmmModel model() const {
        return {{transitions.data(), states, states}, initial, {lengths.data(), states, durations}, Censoring::right};
    }

    std::mt19937 random;
    std::size_t frames;
    std::size_t states = 5, durations = 40;
    std::vector<double> emissions, transitions, initial, lengths;
};

} // namespace

TEST_CASE("concurrency: many threads decode at once as one does alone") {
    CHECK(same_alone_and_together([](std::size_t n) {
        const Problem problem(n);
        const Timeline timeline = hsmm_viterbi(problem.seen(), problem.model());
        return std::pair(timeline.score, timeline.segments);
    }));
}

TEST_CASE("concurrency: many threads sum over paths at once as one does alone") {
    CHECK(same_alone_and_together([](std::size_t n) {
        const Problem problem(n);
        std::vector<double> shares(problem.frames * problem.states);
        const Matrix<double> out{shares.data(), problem.frames, problem.states};
        shares.push_back(hsmm_forward_backward(problem.seen(), problem.model(), out));
        std::vector<double> past(problem.frames * problem.states);
        shares.push_back(hsmm_filter(problem.seen(), problem.model(), {past.data(), problem.frames, problem.states}));
        shares.insert(shares.end(), past.begin(), past.end());
        return shares;
    }));
}

TEST_CASE("concurrency: many threads share one lattice") {
    const FsqLattice fsq(std::vector<std::int64_t>{8, 5, 5, 5});
    CHECK(same_alone_and_together([&fsq](std::size_t n) {
        std::mt19937 random(static_cast<std::uint32_t>(n));
        std::vector<float> z(4 * 500);
        for (float &value : z) {
            value = std::normal_distribution<float>()(random);
        }
        std::vector<std::int32_t> codes(500);
        fsq.encode<std::int32_t>({z.data(), 500, 4}, codes);
        std::vector<float> margins(500);
        fsq.margin({z.data(), 500, 4}, margins);
        std::vector<float> values(4 * 500);
        fsq.decode<std::int32_t>(codes, {values.data(), 500, 4});
        values.insert(values.end(), margins.begin(), margins.end());
        return std::pair(codes, values);
    }));
}

TEST_CASE("concurrency: many threads smooth at once as one does alone") {
    CHECK(same_alone_and_together([](std::size_t n) {
        std::mt19937 random(static_cast<std::uint32_t>(n));
        std::vector<std::int32_t> labels(2000);
        std::vector<double> p(labels.size());
        for (std::size_t t = 0; t < labels.size(); ++t) {
            labels[t] = t > 0 && random() % 4 != 0 ? labels[t - 1] : static_cast<std::int32_t>(random() % 6);
            p[t] = std::uniform_real_distribution<>()(random);
        }
        std::vector<std::int32_t> results;
        std::vector<std::int32_t> smoothed(labels.size());
        const std::span<const std::int32_t> from(labels);
        mode_filter(from, 7, std::span(smoothed));
        results.insert(results.end(), smoothed.begin(), smoothed.end());
        median_filter(from, 101, std::span(smoothed));
        results.insert(results.end(), smoothed.begin(), smoothed.end());
        min_dwell(from, 6, std::span(smoothed));
        results.insert(results.end(), smoothed.begin(), smoothed.end());
        const std::unique_ptr<bool[]> on(new bool[p.size()]);
        hysteresis(p, 0.7, 0.3, {on.get(), p.size()});
        results.insert(results.end(), on.get(), on.get() + p.size());
        return results;
    }));
}
