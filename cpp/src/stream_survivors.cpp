#include "stream_survivors.hpp"

#include "simd/stream_kernels.hpp"

#include <algorithm>
#include <queue>
#include <tuple>

namespace conv2d::detail {
namespace {

// What lies within this of the best is as good as it: later shifts of the scores may round the two the other way.
constexpr double kRounding = 1e-6;

struct Node {
    Beginning at;
    std::size_t until;
    // The latest place comes first out of the queue.
    bool operator<(const Node &other) const {
        return std::tie(at.place, at.state) < std::tie(other.at.place, other.at.state);
    }
};

} // namespace

Survivors::Survivors(const HsmmModel &model)
    : weights_(model, model.log_durations.cols),
      transitions_(model.log_transitions.data, model.log_transitions.data + model.log_transitions.rows *
                                                                                model.log_transitions.cols),
      states_(model.log_initial.size()),
      to_right_(model.censoring == Censoring::right || model.censoring == Censoring::both), places_(states_),
      best_(weights_.durations), bar_(best_.size()) {}

bool Survivors::update(const ViterbiPass &pass) {
    const std::size_t end = pass.end();
    const std::size_t oldest = end > weights_.durations ? end - weights_.durations : 0;
    if (end == seen_) {
        return possible_;
    }
    possible_ = false;
    ending_now_.clear();
    for (std::size_t k = 0; k < states_; ++k) {
        for (std::size_t place = std::max(seen_, oldest); place < end; ++place) {
            places_[k].push_back(place);
        }
        keep_best(pass, k);
        possible_ = possible_ || !places_[k].empty();
    }
    seen_ = end;
    // Segments that end just here may be followed by others without one that can go on.
    const auto ended = pass.ended();
    possible_ = possible_ || std::any_of(ended.begin(), ended.end(), [](double score) { return score != kNever; });
    return possible_;
}

void Survivors::keep_best(const ViterbiPass &pass, std::size_t state) {
    const std::size_t end = pass.end();
    std::vector<std::size_t> &places = places_[state];
    scores_.clear();
    std::size_t possible = 0;
    for (const std::size_t place : places) {
        const double score = pass.open_score(place, state);
        if (score != kNever) {
            places[possible++] = place;
            scores_.push_back(score);
        }
    }
    places.resize(possible);
    kept_.assign(possible, 0);
    const auto table = [&](std::size_t n, bool last) {
        if (places[n] == 0) {
            return last ? weights_.whole(state) : weights_.first(state);
        }
        return last ? weights_.last(state) : weights_.inner(state);
    };
    for (std::size_t n = 0; n < possible && to_right_; ++n) {
        ending_now_.push_back({{places[n], state}, scores_[n] + table(n, true)[end - places[n] - 1]});
    }
    // Later it ends as one of many, or as the recording's last.
    keep_best_ends(end, places, [&](std::size_t n) { return table(n, false); });
    if (to_right_) {
        keep_best_ends(end, places, [&](std::size_t n) { return table(n, true); });
    }
    std::size_t kept = 0;
    for (std::size_t n = 0; n < possible; ++n) {
        if (kept_[n] != 0) {
            places[kept++] = places[n];
        }
    }
    places.resize(kept);
}

// Marks those that are the best for some end after `end`.
template <typename Table>
void Survivors::keep_best_ends(std::size_t end, const std::vector<std::size_t> &places, Table &&table) {
    const simd::StreamKernels &kernels = simd::stream_kernels(simd_path());
    const std::size_t count = places.size();
    std::fill(best_.begin(), best_.end(), kNever);
    const auto age = [&](std::size_t n) { return end - places[n]; };
    const auto raise = [&](std::size_t n) {
        kernels.raise(best_.data(), table(n) + age(n), scores_[n], weights_.durations - age(n));
    };
    const auto set_bar = [&] {
        for (std::size_t x = 0; x < best_.size(); ++x) {
            bar_[x] = best_[x] - kRounding;
        }
    };
    const auto exceeds = [&](std::size_t n) {
        return kernels.exceeds(bar_.data(), table(n) + age(n), scores_[n], weights_.durations - age(n));
    };
    // Most new places are far from the best: those that are higher than their neighbours rule them out.
    able_.assign(count, 0);
    for (std::size_t n = 0; n < count; ++n) {
        if ((n == 0 || scores_[n] >= scores_[n - 1]) && (n + 1 == count || scores_[n] >= scores_[n + 1])) {
            raise(n);
            able_[n] = 1;
        }
    }
    set_bar();
    for (std::size_t n = 0; n < count; ++n) {
        if (able_[n] == 0 && exceeds(n)) {
            able_[n] = 2;
        }
    }
    for (std::size_t n = 0; n < count; ++n) {
        if (able_[n] == 2) {
            raise(n);
        }
    }
    set_bar();
    for (std::size_t n = 0; n < count; ++n) {
        if (able_[n] != 0 && kept_[n] == 0) {
            kept_[n] = exceeds(n);
        }
    }
}

Beginning Survivors::ending(const ViterbiPass &pass, std::size_t end, std::size_t state) {
    const auto [known, is_new] = begun_.try_emplace(end * states_ + state, 0);
    if (is_new) {
        known->second = end - pass.duration(end, state);
    }
    return {known->second, state};
}

Beginning Survivors::before(const ViterbiPass &pass, Beginning one) {
    return ending(pass, one.place, pass.origin(one.place, one.state));
}

std::optional<Meeting> Survivors::meet(const ViterbiPass &pass) {
    const std::size_t end = pass.end();
    std::priority_queue<Node> open;
    for (std::size_t k = 0; k < states_; ++k) {
        for (const std::size_t place : places_[k]) {
            open.push({{place, k}, end});
        }
    }
    // Segments that end just here: as the recording's last the best one, else those that some state can follow best.
    const auto ended = pass.ended();
    double final = *std::max_element(ended.begin(), ended.end());
    for (const Ending &one : ending_now_) {
        final = std::max(final, one.score);
    }
    for (const Ending &one : ending_now_) {
        if (one.score != kNever && one.score >= final - kRounding) {
            open.push({one.at, end});
        }
    }
    std::vector<char> follows(states_, 0);
    for (std::size_t from = 0; from < states_; ++from) {
        follows[from] = ended[from] != kNever && ended[from] >= final - kRounding;
    }
    for (std::size_t to = 0; to < states_; ++to) {
        double best = kNever;
        for (std::size_t from = 0; from < states_; ++from) {
            best = std::max(best, ended[from] + transitions_[from * states_ + to]);
        }
        for (std::size_t from = 0; from < states_; ++from) {
            const double score = ended[from] + transitions_[from * states_ + to];
            follows[from] = follows[from] != 0 || (score != kNever && score >= best - kRounding);
        }
    }
    for (std::size_t k = 0; k < states_; ++k) {
        if (follows[k] != 0) {
            open.push({ending(pass, end, k), end});
        }
    }
    while (!open.empty()) {
        Node node = open.top();
        open.pop();
        while (!open.empty() && open.top().at == node.at) {
            node.until = std::min(node.until, open.top().until);
            open.pop();
        }
        if (open.empty()) {
            return Meeting{node.at, node.until};
        }
        if (node.at.place == 0) {
            break;
        }
        const Beginning parent = before(pass, node.at);
        open.push({parent, parent.state == node.at.state ? node.until : node.at.place});
    }
    return std::nullopt;
}

void Survivors::forget_before(std::size_t place) {
    std::erase_if(begun_, [&](const auto &known) { return known.first < place * states_; });
}

void Survivors::clear() {
    seen_ = 0;
    begun_.clear();
    for (auto &places : places_) {
        places.clear();
    }
}

} // namespace conv2d::detail
