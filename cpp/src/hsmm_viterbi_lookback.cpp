#include "hsmm_viterbi_pass.hpp"

#include <algorithm>
#include <cstring>

namespace conv2d::detail {

std::vector<double> ViterbiPass::end_scores() const {
    if (plain_) {
        return {block_.ended, block_.ended + states_}; // the one duration weighs the same at both ends
    }
    std::vector<double> scores(states_, kNever);
    for (std::size_t k = 0; k < states_; ++k) {
        scores[k] = block_.sums[k] + best_last(k).value;
    }
    return scores;
}

double ViterbiPass::open_score(std::size_t place, std::size_t state) const {
    if (end_ - place >= window_) {
        return kNever;
    }
    const simd::ViterbiGroup &group = groups_[state / 8];
    const double open =
        place == 0 ? initial_[state] : group.open[(place - rows_begin_) * group.width + state - group.first];
    return open + block_.sums[state];
}

std::size_t ViterbiPass::last_duration(std::size_t state) const { return plain_ ? 1 : best_last(state).index; }

// Calls visit(first, count, amounts) for runs of places that ends at `end` see with the same shifts, the nearest first,
// leaving out impossible ones and place 0, down to begin(). Returns the shifts of the places before the last run.
template <typename Visit>
std::optional<std::vector<double>> ViterbiPass::visit_places(std::size_t end, std::size_t state, Visit &&visit) const {
    const std::vector<Shift> &shifts = shifts_[state];
    auto seen = std::upper_bound(shifts.begin(), shifts.end(), end,
                                 [](std::size_t place, const Shift &one) { return place < one.place; });
    const std::size_t oldest = std::max(begin_, end - std::min(end, window_));
    std::vector<double> amounts;
    for (std::size_t after = end; after > oldest;) {
        while (seen != shifts.begin() && std::prev(seen)->place >= after) {
            --seen;
            if (seen->amount == kNever) {
                return std::nullopt;
            }
            amounts.insert(amounts.begin(), seen->amount);
        }
        if (after == 1) {
            return amounts;
        }
        std::size_t first = std::max(oldest, seen == shifts.begin() ? 1 : std::prev(seen)->place);
        first = std::max(
            {first, std::size_t{1}, (after - 1 - chunks_begin_) / chunk_frames_ * chunk_frames_ + chunks_begin_});
        visit(first, after - first, amounts);
        after = first;
    }
    return std::nullopt;
}

// The score of place 0 as later ends see it.
double ViterbiPass::first_score(std::size_t state, const std::vector<double> &amounts) const {
    double score = first_scores_[state];
    for (const double amount : amounts) {
        score += amount;
    }
    return score;
}

std::size_t ViterbiPass::duration(std::size_t end, std::size_t state) const {
    if (plain_) {
        return 1;
    }
    const simd::ViterbiGroup &group = groups_[state / 8];
    const double *zero = group.backwards + (state - group.first) * group.backwards_stride + group.zero;
    Maximum best{kNever, 0};
    const auto rest = visit_places(end, state, [&](std::size_t first, std::size_t count, const auto &amounts) {
        const auto found = kernels_->best(places_at(first, state), zero - (end - first), count, amounts.data(),
                                          amounts.size(), best.value);
        if (found.index < count) {
            best = {found.value, end - first - found.index};
        }
    });
    if (rest && first_score(state, *rest) + weights_.first(state)[end - 1] > best.value) {
        best.index = end;
    }
    return best.index;
}

// Calls visit(duration, score) for the segments that may end at `end`.
template <typename Visit> void ViterbiPass::visit_segments(std::size_t end, std::size_t state, const double *later,
                                                           const double *opening, Visit &&visit) const {
    const auto rest = visit_places(end, state, [&](std::size_t first, std::size_t count, const auto &amounts) {
        const double *places = places_at(first, state);
        for (std::size_t i = count; i-- > 0;) {
            double score = places[i];
            for (const double amount : amounts) {
                score += amount;
            }
            const std::size_t d = end - first - i;
            visit(d, score + later[d - 1]);
        }
    });
    if (rest) {
        visit(end, first_score(state, *rest) + opening[end - 1]);
    }
}

Maximum ViterbiPass::best_last(std::size_t state) const {
    Maximum best{kNever, 0};
    visit_segments(end_, state, weights_.last(state), weights_.whole(state), [&](std::size_t d, double score) {
        if (score > best.value) {
            best = {score, d};
        }
    });
    return best;
}

void ViterbiPass::durations(std::size_t end, std::size_t state, std::vector<double> &scores) const {
    scores.clear();
    if (plain_) {
        scores.push_back(0.0);
        return;
    }
    visit_segments(end, state, weights_.inner(state), weights_.first(state),
                   [&](std::size_t, double score) { scores.push_back(score); });
}

void ViterbiPass::last_durations(std::size_t state, std::vector<double> &scores) const {
    scores.clear();
    if (plain_) {
        scores.push_back(0.0);
        return;
    }
    visit_segments(end_, state, weights_.last(state), weights_.whole(state),
                   [&](std::size_t, double score) { scores.push_back(score); });
}

std::span<const double> ViterbiPass::ends(std::size_t place) const { return {ends_at(place), states_}; }

std::size_t ViterbiPass::origin(std::size_t place, std::size_t state) const {
    if (keeps_bytes()) {
        return chunk_of(place).bytes[(place - chunks_begin_) % chunk_frames_ * block_.padded + state];
    }
    if (keeps_origins()) {
        return chunk_of(place).origins[(place - chunks_begin_) % chunk_frames_ * states_ + state];
    }
    return best_origin(ends_at(place), transitions_, state);
}

std::size_t ViterbiPass::best_origin(const double *ended, const double *log_transitions, std::size_t state) const {
    Maximum best{kNever, 0};
    for (std::size_t from = 0; from < states_; ++from) {
        const double score = ended[from] + log_transitions[from * block_.padded + state];
        if (score > best.value) {
            best = {score, from};
        }
    }
    return best.index;
}

std::vector<Segment> ViterbiPass::path(std::size_t state) const {
    const auto segment = [](std::size_t of, std::size_t start, std::size_t end) {
        return Segment{static_cast<std::int64_t>(of), static_cast<std::int64_t>(start), static_cast<std::int64_t>(end)};
    };
    std::vector<Segment> segments;
    if (keeps_bytes() && chunks_.size() == 1) {
        segments.resize(end_);
        const unsigned char *origins = chunks_.front().bytes + (end_ - 1 - chunks_begin_) * block_.padded;
        for (std::size_t start = end_; start-- > 0; origins -= block_.padded) {
            segments[start] = segment(state, start, start + 1);
            state = origins[state];
        }
        return segments;
    }
    // Backwards into memory that is reused, then once into what is returned.
    std::size_t room = std::min<std::size_t>(end_, 1024);
    WorkBlock found(3 * room);
    std::size_t count = 0;
    for (std::size_t end = end_, start = end - last_duration(state);;) {
        if (count == room) {
            room *= 2;
            WorkBlock larger(3 * room);
            std::memcpy(larger.data(), found.data(), count * sizeof(Segment));
            found = std::move(larger);
        }
        const Segment one = segment(state, start, end);
        std::memcpy(found.data() + 3 * count++, &one, sizeof one);
        if (start == 0) {
            break;
        }
        state = origin(start, state);
        end = start;
        start = end - duration(end, state);
    }
    segments.resize(count);
    for (Segment &one : segments) {
        std::memcpy(&one, found.data() + 3 * --count, sizeof one);
    }
    return segments;
}

} // namespace conv2d::detail
