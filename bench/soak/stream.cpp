// How long, how much memory, and how late: a stream decodes frames that are made up on the fly.
//
//     conv2d_soak_stream [--frames N] [--states K] [--durations D] [--push N] [--lag N] [--separation X]
//
// A semi-Markov chain with Poisson durations (means 0.15 .. 0.6 D) and normal observations, one unit apart unless
// --separation says otherwise, quantised to 256 codes; the scores of a frame are a row of a table by code, as they are
// for a codebook. Memory is what the process holds at each report. Lag is that of decided frames, at the end of each
// push. Prints lines for people and, last, one line of JSON.
#include "conv2d/simd.hpp"
#include "conv2d/stream.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace {

struct Arguments {
    std::int64_t frames = 1'000'000'000;
    std::int64_t states = 8;
    std::int64_t durations = 200;
    std::int64_t push = 8192;
    std::int64_t lag = -1;
    double separation = 1.0;
};

Arguments parse(int argc, char **argv) {
    Arguments given;
    for (int n = 1; n + 1 < argc; n += 2) {
        const std::string name = argv[n];
        if (name == "--frames") {
            given.frames = std::stoll(argv[n + 1]);
        } else if (name == "--states") {
            given.states = std::stoll(argv[n + 1]);
        } else if (name == "--durations") {
            given.durations = std::stoll(argv[n + 1]);
        } else if (name == "--push") {
            given.push = std::stoll(argv[n + 1]);
        } else if (name == "--lag") {
            given.lag = std::stoll(argv[n + 1]);
        } else if (name == "--separation") {
            given.separation = std::stod(argv[n + 1]);
        } else {
            throw std::invalid_argument(name + " is no option of this program; see the top of its source");
        }
    }
    if (argc % 2 == 0 || given.frames < 1 || given.states < 2 || given.durations < 1 || given.push < 1) {
        throw std::invalid_argument("expected pairs of an option and a value, frames, durations and push of at least "
                                    "1 and states of at least 2");
    }
    return given;
}

// Megabytes that the process holds now.
double resident_mb() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.rfind("VmRSS:", 0) == 0) {
            return std::stod(line.substr(6)) / 1024.0;
        }
    }
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / 1024.0; // the peak, where the present is not told
}

class Source {
  public:
    explicit Source(const Arguments &given)
        : states_(static_cast<std::size_t>(given.states)), separation_(given.separation), table_(256 * states_) {
        for (std::size_t k = 0; k < states_; ++k) {
            const double share = states_ == 1 ? 0.0 : static_cast<double>(k) / static_cast<double>(states_ - 1);
            means_.push_back(std::max(1.0, (0.15 + 0.45 * share) * static_cast<double>(given.durations)));
        }
        low_ = -4.0;
        step_ = (8.0 + separation_ * static_cast<double>(states_ - 1)) / 256.0;
        for (std::size_t code = 0; code < 256; ++code) {
            const double x = low_ + (static_cast<double>(code) + 0.5) * step_;
            for (std::size_t k = 0; k < states_; ++k) {
                const double away = x - separation_ * static_cast<double>(k);
                table_[code * states_ + k] = -0.5 * away * away;
            }
        }
        for (int n = 0; n < 4096; ++n) {
            normal_.push_back(std::normal_distribution<>()(engine_));
        }
    }

    [[nodiscard]] const std::vector<double> &means() const { return means_; }

    void fill(std::vector<double> &scores, std::size_t frames) {
        for (std::size_t t = 0; t < frames; ++t) {
            if (left_ == 0) {
                state_ = (state_ + 1 + engine_() % (states_ - 1)) % states_;
                left_ = std::max(1, std::poisson_distribution<int>(means_[state_])(engine_));
            }
            --left_;
            random_ = random_ * 6364136223846793005u + 1442695040888963407u;
            const double x = separation_ * static_cast<double>(state_) + normal_[random_ >> 52];
            const double code = std::clamp((x - low_) / step_, 0.0, 255.0);
            std::memcpy(scores.data() + t * states_, table_.data() + static_cast<std::size_t>(code) * states_,
                        states_ * sizeof(double));
        }
    }

  private:
    std::size_t states_;
    double separation_;
    std::vector<double> table_, means_, normal_;
    double low_ = 0.0, step_ = 1.0;
    std::mt19937_64 engine_{7};
    std::uint64_t random_ = 1;
    std::size_t state_ = 0;
    int left_ = 0;
};

} // namespace

int main(int argc, char **argv) try {
    const Arguments given = parse(argc, argv);
    const auto states = static_cast<std::size_t>(given.states);
    const auto longest = static_cast<std::size_t>(given.durations);
    Source source(given);
    std::vector<double> transitions(states * states, -std::log(static_cast<double>(states - 1)));
    std::vector<double> initial(states, -std::log(static_cast<double>(states)));
    std::vector<double> durations(states * longest);
    for (std::size_t k = 0; k < states; ++k) {
        transitions[k * states + k] = conv2d::kNever;
        for (std::size_t d = 1; d <= longest; ++d) {
            const double mean = source.means()[k];
            durations[k * longest + d - 1] =
                static_cast<double>(d) * std::log(mean) - mean - std::lgamma(static_cast<double>(d) + 1.0);
        }
    }
    conv2d::StreamOptions options;
    if (given.lag >= 0) {
        options.lag_frames = given.lag;
    }
    conv2d::HsmmStream stream({{transitions.data(), states, states},
                               initial,
                               {durations.data(), states, longest},
                               conv2d::Censoring::both},
                              options);

    using Clock = std::chrono::steady_clock;
    std::vector<double> scores(static_cast<std::size_t>(given.push) * states);
    conv2d::StreamOutput output;
    std::vector<std::int64_t> lags(1);
    double decoding = 0.0;
    double first_mb = 0.0;
    double last_mb = 0.0;
    std::int64_t segments = 0;
    std::int64_t reported = 0;
    const auto began = Clock::now();
    for (std::int64_t done = 0; done < given.frames;) {
        const auto frames = static_cast<std::size_t>(std::min(given.push, given.frames - done));
        source.fill(scores, frames);
        output.segments.clear();
        const auto before = Clock::now();
        stream.push({scores.data(), frames, states}, output);
        decoding += std::chrono::duration<double>(Clock::now() - before).count();
        done += static_cast<std::int64_t>(frames);
        segments += static_cast<std::int64_t>(output.segments.size());
        const auto lag = static_cast<std::size_t>(stream.frames() - stream.decided());
        lags.resize(std::max(lags.size(), lag + 1));
        ++lags[lag];
        if (done == given.frames || done >= (reported + 1) * given.frames / 20) {
            reported = done * 20 / given.frames;
            last_mb = resident_mb();
            first_mb = first_mb == 0.0 ? last_mb : first_mb;
            std::printf("%14lld frames  %7.1f s  %6.1f ns a frame in push  %7.2f MB\n", static_cast<long long>(done),
                        std::chrono::duration<double>(Clock::now() - began).count(),
                        1e9 * decoding / static_cast<double>(done), last_mb);
            std::fflush(stdout);
        }
    }
    const auto before = Clock::now();
    const double score = stream.flush(output);
    decoding += std::chrono::duration<double>(Clock::now() - before).count();
    std::int64_t pushes = 0;
    for (const std::int64_t count : lags) {
        pushes += count;
    }
    const auto percentile = [&](double share) {
        std::int64_t seen = 0;
        for (std::size_t lag = 0; lag < lags.size(); ++lag) {
            seen += lags[lag];
            if (static_cast<double>(seen) >= share * static_cast<double>(pushes)) {
                return static_cast<long long>(lag);
            }
        }
        return static_cast<long long>(lags.size() - 1);
    };
    std::printf("{\"frames\": %lld, \"states\": %zu, \"durations\": %zu, \"push\": %lld, \"simd\": \"%s\", "
                "\"seconds\": %.2f, \"ns_per_frame\": %.2f, \"wall_seconds\": %.2f, \"first_mb\": %.2f, "
                "\"last_mb\": %.2f, \"segments\": %lld, \"score\": %.17g, \"lag_p50\": %lld, \"lag_p99\": %lld, "
                "\"lag_max\": %lld, \"forced_commits\": %lld, \"forced_frames\": %lld}\n",
                static_cast<long long>(given.frames), states, longest, static_cast<long long>(given.push),
                std::string(conv2d::simd_name(conv2d::simd_path())).c_str(), decoding,
                1e9 * decoding / static_cast<double>(given.frames),
                std::chrono::duration<double>(Clock::now() - began).count(), first_mb, last_mb,
                static_cast<long long>(segments), score, percentile(0.5), percentile(0.99), percentile(1.0),
                static_cast<long long>(stream.forced_commits()), static_cast<long long>(stream.forced_frames()));
    return 0;
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
}
