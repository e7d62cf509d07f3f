#include "hsmm_forward.hpp"
#include "hsmm_mbr.hpp"
#include "hsmm_runs.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

namespace conv2d {
namespace {

using detail::RunLattice;
using detail::SegmentLattice;
using detail::transitions_into;

constexpr std::size_t kAllPlaces = 256; // frames up to which runs may begin and end anywhere
constexpr std::size_t kReach = 32;      // chosen places that a run may span beyond that
constexpr std::size_t kBlindReach = 4;  // the same for runs that are as good as never right
constexpr double kMassOfPlace = 0.25;   // expected boundaries for one chosen place
constexpr double kPeak = 0.02;          // posterior of a boundary that is worth a place of its own
constexpr double kNeverRight = 1e-5;    // chances that count as none
constexpr double kAccuracy = 0.01;      // F1 that a timeline may give up for an accuracy of 1
constexpr double kNoRow = 1e-7;         // chance of a run to begin that counts as none

// A run that may be chosen, the chance that it is right, and its expected share of all right frames.
struct Candidate {
    std::size_t state;
    std::size_t start;
    std::size_t end;
    double right = 0.0;
    double accuracy = 0.0;
};

// Which runs count as the same: intersection / union >= overlap, as doubles divide.
struct Overlap {
    double least;

    // The smallest intersection with a union of n, and the largest union with an intersection of n.
    [[nodiscard]] std::size_t intersection(std::size_t n) const {
        auto frames = static_cast<std::size_t>(std::ceil(least * static_cast<double>(n)));
        frames = std::min(frames, n);
        while (frames > 0 && share(frames - 1, n)) {
            --frames;
        }
        while (!share(frames, n)) {
            ++frames;
        }
        return frames;
    }
    [[nodiscard]] std::size_t whole(std::size_t n) const {
        auto frames = static_cast<std::size_t>(std::floor(static_cast<double>(n) / least));
        frames = std::max(frames, n);
        while (share(n, frames + 1)) {
            ++frames;
        }
        while (!share(n, frames)) {
            --frames;
        }
        return frames;
    }
    [[nodiscard]] bool share(std::size_t both, std::size_t either) const {
        return static_cast<double>(both) / static_cast<double>(either) >= least;
    }
};

// Sets `right` of candidates of one state: P(a true run of the state overlaps enough), the sum over all such runs.
class MatchChances {
  public:
    MatchChances(RunLattice &runs, Overlap overlap) : runs_(runs), overlap_(overlap) {}

    void set(std::size_t state, std::span<Candidate *> candidates) {
        // True runs begin within some frames of a candidate's start. In the order of the last of these frames only the
        // runs that begin since the first of them need to be kept.
        std::sort(candidates.begin(), candidates.end(), [this](const Candidate *a, const Candidate *b) {
            return std::pair(last(*a), a->start) < std::pair(last(*b), b->start);
        });
        std::vector<std::size_t> needed(candidates.size() + 1, runs_.segments().frames());
        for (std::size_t n = candidates.size(); n-- > 0;) {
            needed[n] = std::min(needed[n + 1], first(*candidates[n]));
        }
        rows_.clear();
        oldest_ = 0;
        for (std::size_t n = 0; n < candidates.size(); ++n) {
            if (oldest_ + rows_.size() < needed[n]) {
                rows_.clear();
                oldest_ = needed[n];
            }
            for (; oldest_ < needed[n]; ++oldest_) {
                rows_.pop_front();
            }
            while (oldest_ + rows_.size() <= last(*candidates[n])) {
                const std::size_t start = oldest_ + rows_.size();
                rows_.emplace_back();
                if (runs_.begins(start, state) > kNoRow) {
                    runs_.runs_from(state, start, rows_.back());
                }
            }
            candidates[n]->right = chance(*candidates[n]);
        }
    }

  private:
    [[nodiscard]] std::size_t first(const Candidate &run) const {
        const std::size_t whole = overlap_.whole(run.end - run.start);
        return run.end > whole ? run.end - whole : 0;
    }
    [[nodiscard]] std::size_t last(const Candidate &run) const {
        return run.end - overlap_.intersection(run.end - run.start);
    }

    [[nodiscard]] double chance(const Candidate &run) const {
        double sum = 0.0;
        for (std::size_t start = first(run); start <= last(run); ++start) {
            const std::vector<double> &row = rows_[start - oldest_];
            if (row.empty()) {
                continue;
            }
            // The frames that a true run from here may last.
            std::size_t shortest = 0;
            std::size_t longest = 0;
            if (start <= run.start) {
                shortest = run.start - start + overlap_.intersection(run.end - start);
                longest = overlap_.whole(run.end - run.start);
            } else {
                shortest = overlap_.intersection(run.end - run.start);
                longest = overlap_.whole(run.end - start) - (start - run.start);
            }
            sum += row[std::min(longest, row.size()) - 1];
            sum -= shortest > 1 ? row[std::min(shortest - 1, row.size()) - 1] : 0.0;
        }
        return detail::probability(sum);
    }

    RunLattice &runs_;
    Overlap overlap_;
    std::deque<std::vector<double>> rows_; // from start oldest_ on
    std::size_t oldest_ = 0;
};

// Whether the run can be right at all: a true run that overlaps by half or more holds a frame in its middle.
bool can_be_right(Matrix<const double> posteriors, const Candidate &run) {
    const std::size_t middle = (run.start + run.end) / 2;
    return posteriors(middle, run.state) + posteriors(middle == 0 ? 0 : middle - 1, run.state) >= kNeverRight;
}

void set_chances(RunLattice &runs, Overlap overlap, std::vector<Candidate> &candidates) {
    std::vector<std::vector<Candidate *>> by_state(runs.segments().states());
    for (Candidate &candidate : candidates) {
        if (can_be_right(runs.segments().posteriors(), candidate)) {
            by_state[candidate.state].push_back(&candidate);
        }
    }
    MatchChances chances(runs, overlap);
    for (std::size_t k = 0; k < by_state.size(); ++k) {
        chances.set(k, by_state[k]);
    }
}

void set_accuracies(Matrix<const double> posteriors, std::span<Candidate> candidates) {
    std::vector<double> sums(posteriors.rows + 1, 0.0); // of one state
    for (std::size_t k = 0; k < posteriors.cols; ++k) {
        for (std::size_t t = 0; t < posteriors.rows; ++t) {
            sums[t + 1] = sums[t] + detail::probability(posteriors(t, k));
        }
        for (Candidate &run : candidates) {
            if (run.state == k) {
                run.accuracy = (sums[run.end] - sums[run.start]) / static_cast<double>(posteriors.rows);
            }
        }
    }
}

std::vector<Candidate> runs_of(std::span<const std::int64_t> labels) {
    std::vector<Candidate> runs;
    for (std::size_t t = 0; t < labels.size(); ++t) {
        const auto label = static_cast<std::size_t>(labels[t]);
        if (runs.empty() || runs.back().state != label) {
            runs.push_back({label, t, t});
        }
        runs.back().end = t + 1;
    }
    return runs;
}

std::vector<std::int64_t> labels_of(std::span<const Segment> segments) {
    std::vector<std::int64_t> labels;
    for (const Segment &segment : segments) {
        labels.resize(static_cast<std::size_t>(segment.end), segment.state);
    }
    return labels;
}

double expected_f1(std::span<const Candidate> runs, double true_runs) {
    double right = 0.0;
    for (const Candidate &run : runs) {
        right += run.right;
    }
    return detail::probability(2.0 * right / (static_cast<double>(runs.size()) + true_runs));
}

// Timelines made of candidates, by the places where these begin and end.
class Tilings {
  public:
    // Candidates sorted by start.
    Tilings(const HsmmModel &model, std::size_t frames, std::vector<Candidate> candidates)
        : model_(model), states_(model.log_initial.size()), candidates_(std::move(candidates)) {
        places_.push_back(frames);
        for (const Candidate &run : candidates_) {
            places_.push_back(run.start);
        }
        std::sort(places_.begin(), places_.end());
        places_.erase(std::unique(places_.begin(), places_.end()), places_.end());
    }

    // The tiling with the largest sum of 2 P(right) - price + bonus * accuracy; neighbours differ in state. Needs one
    // to exist.
    [[nodiscard]] std::vector<Candidate> best(double price, double bonus = 0.0) const {
        constexpr std::size_t kNone = static_cast<std::size_t>(-1);
        std::vector<double> value(places_.size() * states_, kNever); // up to a run of a state that ends at a place
        std::vector<std::size_t> through(value.size(), kNone);       // that run
        std::vector<double> enter(states_);
        std::vector<std::size_t> before(candidates_.size(), kNone); // the state before each candidate
        std::size_t at = 0;
        for (std::size_t n = 0; n < candidates_.size();) {
            const std::size_t start = candidates_[n].start;
            while (places_[at] < start) {
                ++at;
            }
            std::size_t next = n;
            for (; next < candidates_.size() && candidates_[next].start == start; ++next) {
                const Candidate &run = candidates_[next];
                double sum = kNever;
                if (start == 0) {
                    sum = model_.log_initial[run.state] == kNever ? kNever : 0.0;
                } else {
                    const auto into = transitions_into(model_, start);
                    for (std::size_t k = 0; k < states_; ++k) {
                        if (k != run.state && value[at * states_ + k] > sum && into(k, run.state) != kNever) {
                            sum = value[at * states_ + k];
                            before[next] = k;
                        }
                    }
                }
                const auto end = std::lower_bound(places_.begin(), places_.end(), run.end);
                const std::size_t reached = static_cast<std::size_t>(end - places_.begin()) * states_ + run.state;
                sum += 2.0 * run.right - price + bonus * run.accuracy;
                if (*end == run.end && sum > value[reached]) {
                    value[reached] = sum;
                    through[reached] = next;
                }
            }
            n = next;
        }
        const auto final = value.end() - static_cast<std::ptrdiff_t>(states_);
        std::size_t reached = static_cast<std::size_t>(std::max_element(final, value.end()) - value.begin());
        std::vector<Candidate> chosen;
        while (true) {
            const std::size_t n = through[reached];
            chosen.push_back(candidates_[n]);
            if (candidates_[n].start == 0) {
                break;
            }
            const auto place = std::lower_bound(places_.begin(), places_.end(), candidates_[n].start);
            reached = static_cast<std::size_t>(place - places_.begin()) * states_ + before[n];
        }
        std::reverse(chosen.begin(), chosen.end());
        return chosen;
    }

  private:
    const HsmmModel &model_;
    std::size_t states_;
    std::vector<Candidate> candidates_;
    std::vector<std::size_t> places_;
};

// Where runs of the decision may begin and end.
std::vector<std::size_t> choose_places(const RunLattice &runs, std::span<const Candidate> known) {
    const std::size_t frames = runs.segments().frames();
    std::vector<std::size_t> places{0, frames};
    if (frames <= kAllPlaces) {
        places.resize(frames + 1);
        std::iota(places.begin(), places.end(), std::size_t{0});
        return places;
    }
    std::vector<double> boundary(frames + 1, 0.0);
    for (std::size_t place = 1; place < frames; ++place) {
        for (std::size_t k = 0; k < runs.segments().states(); ++k) {
            boundary[place] += runs.begins(place, k);
        }
    }
    double mass = 0.0;
    for (std::size_t place = 1; place < frames; ++place) {
        mass += boundary[place];
        const bool peak = boundary[place] >= boundary[place - 1] && boundary[place] > boundary[place + 1];
        if (mass >= kMassOfPlace || (peak && boundary[place] >= kPeak)) {
            places.push_back(place);
            mass = std::fmod(mass, kMassOfPlace);
        }
    }
    for (const Candidate &run : known) {
        places.push_back(run.start);
    }
    std::sort(places.begin(), places.end());
    places.erase(std::unique(places.begin(), places.end()), places.end());
    return places;
}

// All possible runs between places, but those that are too far apart; `known` are among them.
std::vector<Candidate> choose_candidates(RunLattice &runs, std::span<const std::size_t> places,
                                         std::span<const Candidate> known) {
    const SegmentLattice &lattice = runs.segments();
    const auto posteriors = lattice.posteriors();
    const bool all = places.size() == lattice.frames() + 1;
    std::vector<Candidate> candidates(known.begin(), known.end());
    std::vector<std::size_t> ends;
    for (std::size_t n = 0; n + 1 < places.size(); ++n) {
        const std::size_t start = places[n];
        const std::size_t reach = all ? places.size() : kReach;
        for (std::size_t k = 0; k < lattice.states(); ++k) {
            ends.clear();
            for (std::size_t m = n + 1; m < std::min(places.size(), n + 1 + reach); ++m) {
                if (all || m <= n + kBlindReach || can_be_right(posteriors, {k, start, places[m]})) {
                    ends.push_back(places[m]);
                }
            }
            const auto possible = runs.possible(k, start, ends);
            for (std::size_t m = 0; m < ends.size(); ++m) {
                if (possible[m]) {
                    candidates.push_back({k, start, ends[m]});
                }
            }
        }
    }
    const auto key = [](const Candidate &run) { return std::tuple(run.start, run.state, run.end); };
    std::sort(candidates.begin(), candidates.end(),
              [&](const Candidate &a, const Candidate &b) { return key(a) < key(b); });
    const auto same = [&](const Candidate &a, const Candidate &b) { return key(a) == key(b); };
    candidates.erase(std::unique(candidates.begin(), candidates.end(), same), candidates.end());
    return candidates;
}

void check_overlap(double overlap) {
    if (!(overlap >= 0.5 && overlap <= 1.0)) {
        throw std::invalid_argument("overlap is " + std::to_string(overlap) +
                                    ", expected 0.5 to 1: below that one run could be right for two");
    }
}

} // namespace

Decision hsmm_mbr_segments(Matrix<const double> log_emissions, const HsmmModel &model, double overlap) {
    check_overlap(overlap);
    const SegmentLattice lattice(log_emissions, model);
    if (log_emissions.rows == 0) {
        return {};
    }
    RunLattice runs(lattice);
    std::vector<Candidate> candidates = runs_of(labels_of(hsmm_viterbi(log_emissions, model).segments));
    for (const Candidate &run : runs_of(detail::labels_of_least_errors(log_emissions, model, lattice.posteriors()))) {
        candidates.push_back(run);
    }
    candidates = choose_candidates(runs, choose_places(runs, candidates), candidates);
    set_chances(runs, {overlap}, candidates);
    set_accuracies(lattice.posteriors(), candidates);
    const Tilings tilings(model, log_emissions.rows, std::move(candidates));

    // At the price of a run that is the best F1 itself, the best tiling has that F1; from below the price only rises.
    std::vector<Candidate> chosen;
    double f1 = 0.0;
    for (bool better = true; better;) {
        std::vector<Candidate> next = tilings.best(f1);
        const double reached = expected_f1(next, runs.expected_runs());
        better = chosen.empty() || reached > f1;
        if (better) {
            chosen = std::move(next);
            f1 = reached;
        }
    }
    // Overlaps leave room for where a run begins and ends: there the frames decide.
    chosen = tilings.best(f1, 2.0 * runs.expected_runs() * kAccuracy);
    f1 = expected_f1(chosen, runs.expected_runs());
    std::vector<std::int64_t> labels;
    for (const Candidate &run : chosen) {
        labels.resize(run.end, static_cast<std::int64_t>(run.state));
    }
    return {detail::best_with_labels(log_emissions, model, labels), f1};
}

Expectation hsmm_expected_scores(Matrix<const double> log_emissions, const HsmmModel &model,
                                 std::span<const std::int64_t> states, double overlap) {
    check_overlap(overlap);
    const SegmentLattice lattice(log_emissions, model);
    if (states.size() != log_emissions.rows) {
        throw std::invalid_argument("states has shape (" + std::to_string(states.size()) + ",), expected (" +
                                    std::to_string(log_emissions.rows) + ",), one for each row of log_emissions");
    }
    for (std::size_t t = 0; t < states.size(); ++t) {
        if (states[t] < 0 || static_cast<std::size_t>(states[t]) >= log_emissions.cols) {
            throw std::invalid_argument("states row " + std::to_string(t) + " is " + std::to_string(states[t]) +
                                        ", expected 0 to " + std::to_string(log_emissions.cols - 1));
        }
    }
    if (states.empty()) {
        return {};
    }
    RunLattice runs(lattice);
    std::vector<Candidate> given = runs_of(states);
    set_chances(runs, {overlap}, given);
    return {detail::expected_accuracy(lattice.posteriors(), states), expected_f1(given, runs.expected_runs())};
}

} // namespace conv2d
