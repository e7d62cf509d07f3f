// The fast forward-backward against the log-domain lattice, on recordings too long for brute force, and every SIMD path
// against the others.
#include "check.hpp"
#include "hsmm_reference.hpp"

#include "../src/hsmm_block_passes.hpp"
#include "../src/hsmm_lattice.hpp"
#include "conv2d/simd.hpp"

#include <cstring>

using namespace conv2d;
using namespace conv2d::tests;

namespace {

// A model and a recording whose scores are as far apart as `spread` says.
struct Recording {
    Recording(unsigned seed, double spread_) : engine(seed), spread(spread_) {
        states = 1 + engine() % (engine() % 4 == 0 ? 20 : 6);
        frames = 1 + engine() % 200;
        const std::size_t durations = 1 + engine() % (engine() % 3 == 0 ? 150 : 20);
        const bool each_frame = engine() % 4 == 0;
        const double never = engine() % 2 == 0 ? 0.0 : 0.1;
        emissions = scores(frames * states, spread, never);
        transitions = scores((each_frame ? frames : 1) * states * states, 3.0, never);
        initial = scores(states, 1.0, never);
        lengths.assign(states * durations, 0.0);
        const auto law = engine() % 5;
        for (std::size_t k = 0; k < states; ++k) {
            const double mean = static_cast<double>(durations * (k + 1)) / static_cast<double>(states + 1);
            for (std::size_t d = 0; d < durations; ++d) {
                const auto x = static_cast<double>(d);
                lengths[k * durations + d] = law == 0   ? scores(1, 2.0, never)[0]
                                             : law == 1 ? x * std::log(mean) - mean - std::lgamma(x + 1.0)
                                             : law == 2 ? -0.5 * (x - mean) * (x - mean) / (0.25 + 0.1 * mean)
                                             : law == 3 ? (d == static_cast<std::size_t>(mean) ? 0.0 : kNever)
                                                        : (x + 1.0 < mean ? kNever : -0.1 * x);
            }
        }
        if (engine() % 4 == 0) { // part-labelled: in some stretches all states but one are impossible
            for (std::size_t t = 0; t < frames;) {
                const std::size_t end = std::min(frames, t + 1 + engine() % 60);
                const std::size_t state = engine() % (states + 2);
                for (; t < end; ++t) {
                    for (std::size_t k = 0; k < states && state < states; ++k) {
                        emissions[t * states + k] = k == state ? emissions[t * states + k] : kNever;
                    }
                }
            }
        }
        model = {{transitions.data(), transitions.size() / states, states},
                 initial,
                 {lengths.data(), states, durations},
                 kAll[engine() % 4]};
    }

    std::vector<double> scores(std::size_t count, double width, double never) {
        std::vector<double> values(count);
        for (double &value : values) {
            const bool gone = std::uniform_real_distribution<>()(engine) < never;
            value = gone ? kNever : width * std::normal_distribution<>()(engine);
        }
        return values;
    }
    [[nodiscard]] Matrix<const double> seen() const { return {emissions.data(), frames, states}; }

    std::mt19937 engine;
    double spread;
    std::size_t states, frames;
    std::vector<double> emissions, transitions, initial, lengths;
    HsmmModel model;
};

bool near(const std::vector<double> &got, const double *expected, double tolerance) {
    for (std::size_t i = 0; i < got.size(); ++i) {
        if (!(std::abs(got[i] - expected[i]) <= tolerance)) {
            return false;
        }
    }
    return true;
}

bool same_bits(const std::vector<double> &a, const std::vector<double> &b) {
    return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

struct PathGuard { // takes the path of before again
    SimdPath before = simd_path();
    ~PathGuard() { use_simd_path(before); }
};

} // namespace

TEST_CASE("posterior_kernels: weights with exponents and log scores agree, however far apart the scores are") {
    int possible = 0;
    for (const double spread : {0.0, 0.1, 1.0, 5.0, 30.0, 1000.0}) {
        for (unsigned seed = 0; seed < 150; ++seed) {
            const Recording recording(seed, spread);
            const auto seen = recording.seen();
            std::vector<double> posteriors(recording.emissions.size());
            const Matrix<double> out{posteriors.data(), seen.rows, seen.cols};
            std::optional<detail::SegmentLattice> lattice;
            const std::string message = message_of([&] { lattice.emplace(seen, recording.model); });
            if (!lattice) {
                CHECK(message_of([&] { hsmm_forward_backward(seen, recording.model, out); }) == message);
                continue;
            }
            ++possible;
            // Log scores lose digits as they grow, and sums of them more.
            const double tolerance = 1e-10 * (1.0 + spread);
            const ExpectedCounts expected = detail::expected_counts(*lattice, recording.model);
            const ExpectedCounts counts = hsmm_expected_counts(seen, recording.model, out);
            CHECK(close(counts.log_likelihood, lattice->log_likelihood(), 1e-11));
            CHECK(near(posteriors, lattice->posteriors().data, tolerance));
            CHECK(near(counts.initial, expected.initial.data(), tolerance));
            CHECK(near(counts.transitions, expected.transitions.data(), 10.0 * tolerance));
            CHECK(near(counts.durations, expected.durations.data(), 10.0 * tolerance));
            CHECK(near(counts.cut_left, expected.cut_left.data(), tolerance));
            CHECK(near(counts.cut_right, expected.cut_right.data(), tolerance));
            CHECK(near(counts.cut_both, expected.cut_both.data(), tolerance));
        }
    }
    CHECK(possible > 300);
}

TEST_CASE("posterior_kernels: scores that sane models have need no log scores") {
    int held = 0;
    int possible = 0;
    for (unsigned seed = 0; seed < 200; ++seed) {
        const Recording recording(seed, 1.0);
        std::vector<double> posteriors(recording.emissions.size());
        const Matrix<double> out{posteriors.data(), recording.frames, recording.states};
        if (!message_of([&] { hsmm_forward_backward(recording.seen(), recording.model, out); }).empty()) {
            continue; // impossible, which log scores decide
        }
        ++possible;
        held += detail::block_forward_backward(recording.seen(), recording.model, out, true) ? 1 : 0;
    }
    CHECK(possible > 100);
    CHECK(held >= possible * 19 / 20);
}

TEST_CASE("posterior_kernels: every path gives the same bits") {
    const PathGuard guard;
    const auto paths = simd_paths();
    for (const double spread : {0.0, 1.0, 30.0, 1000.0}) {
        for (unsigned seed = 1000; seed < 1100; ++seed) {
            Recording recording(seed, spread);
            if (seed % 5 == 0) { // a plain hidden Markov model
                recording.lengths.assign(recording.states, -0.5);
                recording.model.log_durations = {recording.lengths.data(), recording.states, 1};
            }
            std::vector<double> first, posteriors(recording.emissions.size());
            ExpectedCounts expected;
            double log_likelihood = 0.0;
            for (const SimdPath path : paths) {
                use_simd_path(path);
                const Matrix<double> out{posteriors.data(), recording.frames, recording.states};
                ExpectedCounts counts;
                double likelihood = 0.0;
                const std::string message = message_of([&] {
                    counts = hsmm_expected_counts(recording.seen(), recording.model, out);
                    likelihood = hsmm_forward_backward(recording.seen(), recording.model, out);
                });
                if (!message.empty()) {
                    continue;
                }
                if (path == paths.front()) {
                    first = posteriors;
                    expected = counts;
                    log_likelihood = likelihood;
                }
                CHECK(likelihood == log_likelihood);
                CHECK(same_bits(posteriors, first));
                CHECK(same_bits(counts.initial, expected.initial));
                CHECK(same_bits(counts.transitions, expected.transitions));
                CHECK(same_bits(counts.durations, expected.durations));
                CHECK(same_bits(counts.cut_left, expected.cut_left));
                CHECK(same_bits(counts.cut_right, expected.cut_right));
                CHECK(same_bits(counts.cut_both, expected.cut_both));
            }
        }
    }
}

TEST_CASE("posterior_kernels: the plain hidden Markov model equals its general form") {
    int held = 0;
    for (const double spread : {0.0, 1.0, 30.0, 1000.0}) {
        for (unsigned seed = 0; seed < 100; ++seed) {
            Recording recording(seed, spread);
            recording.lengths = recording.scores(recording.states, 1.0, 0.0);
            recording.model.log_durations = {recording.lengths.data(), recording.states, 1};
            std::vector<double> posteriors(recording.emissions.size());
            const Matrix<double> out{posteriors.data(), recording.frames, recording.states};
            const auto log_likelihood = detail::markov_forward_backward(recording.seen(), recording.model, out);
            if (!log_likelihood) {
                continue;
            }
            ++held;
            const detail::SegmentLattice lattice(recording.seen(), recording.model);
            CHECK(close(*log_likelihood, lattice.log_likelihood(), 1e-11));
            CHECK(near(posteriors, lattice.posteriors().data, 1e-10 * (1.0 + spread)));
        }
    }
    CHECK(held > 100);
}

TEST_CASE("posterior_kernels: scores at the limit of what is accepted") {
    // Beyond what an exponent holds, next to scores of every day: log scores take over, and say the same.
    const std::vector<double> transitions{kNever, 0.0, 0.0, kNever}, initial{0.0, 0.0};
    std::vector<double> lengths(2 * 12, -1.0);
    for (const double huge : {1e10, 1e30, 1e200}) {
        for (const int where : {0, 1, 2}) {
            std::vector<double> emissions(2 * 40, -0.5);
            auto moved = transitions;
            auto laws = lengths;
            (where == 0 ? emissions[20] : where == 1 ? moved[1] : laws[3]) = -huge;
            const HsmmModel model{{moved.data(), 2, 2}, initial, {laws.data(), 2, 12}, Censoring::both};
            std::vector<double> posteriors(emissions.size());
            const double log_likelihood =
                hsmm_forward_backward({emissions.data(), 40, 2}, model, {posteriors.data(), 40, 2});
            CHECK(std::isfinite(log_likelihood));
            for (std::size_t t = 0; t < 40; ++t) {
                CHECK(close(posteriors[2 * t] + posteriors[2 * t + 1], 1.0, 1e-12));
            }
            if (where == 0) {
                CHECK(posteriors[20] == 0.0);
            }
        }
    }
}
