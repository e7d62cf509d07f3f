#include "hsmm_runs.hpp"

#include "hsmm_forward.hpp"

#include <algorithm>
#include <cmath>

namespace conv2d::detail {
namespace {

// Shares of probability that are not followed up.
constexpr double kRest = 1e-9;

} // namespace

RunWeights::RunWeights(const SegmentLattice &lattice)
    : lattice_(lattice), each_frame_(lattice.model().log_transitions.rows != lattice.states()),
      inner_(lattice.states()), first_(lattice.states()), last_(lattice.states()) {}

void RunWeights::begin(std::size_t state, std::size_t start) {
    state_ = state;
    start_ = start;
    here_.clear();
    self_ = each_frame_ ? kNever : lattice_.model().log_transitions(state, state);
}

double RunWeights::operator()(std::size_t frames) {
    const std::size_t end = start_ + frames;
    if (each_frame_) {
        while (here_.size() < frames) {
            here_.push_back(by_place(start_ + here_.size() + 1));
        }
        return here_[frames - 1];
    }
    const SegmentWeights &weights = lattice_.weights();
    if (self_ == kNever) {
        return segment(state_, start_, end);
    }
    if (end == lattice_.frames()) {
        grow(last_[state_], weights.inner(state_), start_ == 0 ? frames - 1 : frames);
        return start_ == 0 ? log_add_exp(segment(state_, 0, end), joined(weights.first(state_), last_[state_], frames))
                           : last_[state_][frames - 1];
    }
    grow(inner_[state_], weights.inner(state_), frames);
    if (start_ > 0) {
        return inner_[state_][frames - 1];
    }
    grow(first_[state_], weights.first(state_), frames);
    return first_[state_][frames - 1];
}

double RunWeights::segment(std::size_t state, std::size_t start, std::size_t end) const {
    const SegmentWeights &weights = lattice_.weights();
    if (end - start > weights.durations) {
        return kNever;
    }
    const bool last = end == lattice_.frames();
    const double *table = start == 0 ? (last ? weights.whole(state) : weights.first(state))
                                     : (last ? weights.last(state) : weights.inner(state));
    return table[end - start - 1];
}

// The sum over the first segment of a run of `frames` that has more of them, given the table of what remains.
double RunWeights::joined(const double *opening, const std::vector<double> &rest, std::size_t frames) const {
    const std::size_t most = std::min(lattice_.longest(), frames - 1);
    terms_.clear();
    for (std::size_t d = 1; d <= most; ++d) {
        terms_.push_back(opening[d - 1] + self_ + rest[frames - d - 1]);
    }
    return log_sum(terms_);
}

void RunWeights::grow(std::vector<double> &table, const double *opening, std::size_t frames) {
    const SegmentWeights &weights = lattice_.weights();
    const std::vector<double> &rest = &table == &first_[state_] ? inner_[state_] : table;
    const double *one = &table == &last_[state_] ? weights.last(state_) : opening;
    while (table.size() < frames) {
        const std::size_t length = table.size() + 1;
        const double alone = length <= lattice_.longest() ? one[length - 1] : kNever;
        table.push_back(log_add_exp(alone, joined(opening, rest, length)));
    }
}

// The sum over the last segment of a run from start_ to `end`; the table holds the runs to all places before.
double RunWeights::by_place(std::size_t end) {
    const HsmmModel &model = lattice_.model();
    const SegmentWeights &weights = lattice_.weights();
    const double *closing = end == lattice_.frames() ? weights.last(state_) : weights.inner(state_);
    terms_.assign(1, segment(state_, start_, end));
    for (std::size_t d = 1; d <= std::min(lattice_.longest(), end - start_ - 1); ++d) {
        const double self = transitions_into(model, end - d)(state_, state_);
        terms_.push_back(here_[end - d - start_ - 1] + self + closing[d - 1]);
    }
    return log_sum(terms_);
}

RunLattice::RunLattice(const SegmentLattice &lattice)
    : lattice_(lattice), weights_(lattice), begins_((lattice.frames() + 1) * lattice.states(), 0.0),
      ends_(begins_.size(), 0.0) {
    const std::size_t frames = lattice.frames();
    const std::size_t states = lattice.states();
    for (std::size_t place = 0; place <= frames; ++place) {
        for (std::size_t k = 0; k < states; ++k) {
            const double same = place > 0 && place < frames ? lattice.change(place, k, k) : 0.0;
            if (place < frames) {
                begins_[place * states + k] = probability(lattice.begins(place, k) - same);
                expected_ += begins_[place * states + k];
            }
            if (place > 0) {
                ends_[place * states + k] = probability(lattice.ends(place, k) - same);
            }
        }
    }
}

void RunLattice::runs_from(std::size_t state, std::size_t start, std::vector<double> &shares) {
    shares.clear();
    const double begins_here = begins(start, state);
    if (begins_here <= 0.0) {
        return;
    }
    // Of the weight of all up to a segment that begins here, this is the part that comes from other states; and the
    // same for the ends.
    double seen = std::log(begins_here) - lattice_.log_follows(start, state) + lattice_.log_whole();
    double sum = 0.0;
    weights_.begin(state, start);
    for (std::size_t end = start + 1; end <= lattice_.frames() && begins_here - sum > kRest; ++end) {
        seen += lattice_.log_frame(end - 1, state);
        if (seen == kNever) {
            break;
        }
        const double ends_here = ends(end, state);
        if (ends_here > 0.0) {
            const double score = seen + weights_(end - start) + std::log(ends_here) - lattice_.log_ended(end, state);
            // What is left of a difference of two shares may be rounding, and must not grow by what it is divided by.
            sum += std::min(probability(std::exp(score)), ends_here);
        }
        shares.push_back(sum);
    }
}

std::vector<bool> RunLattice::possible(std::size_t state, std::size_t start, std::span<const std::size_t> ends) {
    std::vector<bool> answers(ends.size(), false);
    weights_.begin(state, start);
    std::size_t seen = start;
    for (std::size_t n = 0; n < ends.size(); ++n) {
        for (; seen < ends[n]; ++seen) {
            if (lattice_.log_frame(seen, state) == kNever) {
                return answers;
            }
        }
        answers[n] = weights_(ends[n] - start) != kNever;
    }
    return answers;
}

} // namespace conv2d::detail
