#include "stream_survivors.hpp"

#include "simd/stream_kernels.hpp"

#include <algorithm>
#include <map>
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

HsmmModel open_ended(HsmmModel model) {
    const bool from_left = model.censoring == Censoring::left || model.censoring == Censoring::both;
    model.censoring = from_left ? Censoring::both : Censoring::right;
    return model;
}

} // namespace

Survivors::Survivors(const HsmmModel &model, bool join)
    : weights_(open_ended(model), model.log_durations.cols),
      transitions_(model.log_transitions.data,
                   model.log_transitions.data + model.log_transitions.rows * model.log_transitions.cols),
      states_(model.log_initial.size()),
      to_right_(model.censoring == Censoring::right || model.censoring == Censoring::both), join_(join),
      places_(states_), best_(weights_.durations), bar_(best_.size()) {}

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
    best_now_ = find_best(pass);
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
    for (std::size_t n = 0; n < possible; ++n) {
        ending_now_.push_back({{places[n], state}, scores_[n] + table(n, true)[end - places[n] - 1]});
    }
    // Later it ends as one of many, or as the recording's last.
    keep_best_ends(end, places, [&](std::size_t n) { return table(n, false); });
    keep_best_ends(end, places, [&](std::size_t n) { return table(n, true); });
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

std::optional<Beginning> Survivors::find_best(const ViterbiPass &pass) const {
    const auto ended = pass.ended();
    std::optional<Beginning> best;
    double most = kNever;
    auto one = ending_now_.begin();
    for (std::size_t k = 0; k < states_; ++k) {
        double most_of_state = kNever;
        for (; one != ending_now_.end() && one->at.state == k; ++one) {
            if (one->score > most && one->score >= most_of_state) { // the later place is the shorter segment
                most_of_state = one->score;
                best = one->at;
            }
        }
        most = std::max(most, most_of_state);
        if (ended[k] > most) {
            most = ended[k];
            best = ending(pass, pass.end(), k);
        }
    }
    return best;
}

Beginning Survivors::ending(const ViterbiPass &pass, std::size_t end, std::size_t state) {
    return {end - pass.duration(end, state), state};
}

Beginning Survivors::before_segment(const ViterbiPass &pass, Beginning segment) {
    const Beginning found =
        segment.place > pass.begin() ? ending(pass, segment.place, pass.origin(segment.place, segment.state)) : segment;
    if (found.place >= segment.place) { // only a state that save() did not write leads here
        ByteReader::refuse();
    }
    return found;
}

Beginning Survivors::part(const ViterbiPass &pass, Beginning segment) {
    if (!join_) {
        return segment;
    }
    std::vector<std::size_t> passed;
    Beginning run = segment;
    for (Beginning at = segment;; at = run) {
        if (at.place < settled_until_) {
            run = settled_;
            break;
        }
        if (const auto known = runs_.find(key(at)); known != runs_.end()) {
            run.place = known->second;
            break;
        }
        passed.push_back(key(at));
        run = at.place == 0 ? at : before_segment(pass, at);
        if (at.place == 0 || run.state != at.state) {
            run = at;
            break;
        }
    }
    for (const std::size_t one : passed) {
        runs_[one] = run.place;
    }
    return {run.place, segment.state};
}

Beginning Survivors::before(const ViterbiPass &pass, Beginning part_behind) {
    const auto known = before_.find(key(part_behind));
    if (known != before_.end()) {
        return of(known->second);
    }
    const Beginning found = part(pass, before_segment(pass, part_behind));
    before_[key(part_behind)] = key(found);
    return found;
}

std::optional<Meeting> Survivors::meet(const ViterbiPass &pass) {
    const std::size_t end = pass.end();
    met_parts_.clear();
    met_segments_.clear();
    std::priority_queue<Node> open;
    const auto add = [&](Beginning segment) {
        met_segments_.push_back(key(segment));
        open.push({part(pass, segment), end});
    };
    for (std::size_t k = 0; k < states_; ++k) {
        for (const std::size_t place : places_[k]) {
            add({place, k});
        }
    }
    // Segments that end just here: as the recording's last the best one, else those that some state can follow best.
    const auto ended = pass.ended();
    const double whole = *std::max_element(ended.begin(), ended.end());
    double final = whole;
    for (const Ending &one : ending_now_) {
        final = std::max(final, one.score);
    }
    for (const Ending &one : ending_now_) {
        if (one.score != kNever && one.score >= final - kRounding) {
            add(one.at);
        }
    }
    std::vector<char> follows(states_, 0);
    for (std::size_t from = 0; from < states_; ++from) {
        follows[from] = ended[from] != kNever && ended[from] >= (to_right_ ? final : whole) - kRounding;
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
            add(ending(pass, end, k));
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
        met_parts_.push_back(key(node.at));
        const Beginning parent = before(pass, node.at);
        open.push({parent, parent.state == node.at.state ? node.until : node.at.place});
    }
    return std::nullopt;
}

void Survivors::forget_others() {
    const auto keep = [](std::unordered_map<std::size_t, std::size_t> &known, const std::vector<std::size_t> &keys) {
        std::unordered_map<std::size_t, std::size_t> kept;
        for (const std::size_t one : keys) {
            if (const auto found = known.find(one); found != known.end()) {
                kept.insert(*found);
            }
        }
        known.swap(kept);
    };
    keep(before_, met_parts_);
    keep(runs_, met_segments_);
}

void Survivors::start_again(Beginning last, std::size_t until) {
    seen_ = 0;
    best_now_.reset();
    before_.clear();
    runs_.clear();
    for (auto &places : places_) {
        places.clear();
    }
    settled_ = last;
    settled_until_ = join_ ? until : 0;
}

void Survivors::save(ByteWriter &writer) const {
    const Beginning best = best_now_.value_or(Beginning{});
    const std::uint64_t numbers[] = {seen_,          possible_,      settled_.place,
                                     settled_.state, settled_until_, best_now_.has_value(),
                                     best.place,     best.state};
    writer.values(std::span<const std::uint64_t>(numbers));
    for (const auto &places : places_) {
        const std::vector<std::uint64_t> given(places.begin(), places.end());
        writer.values(std::span<const std::uint64_t>(given));
    }
    for (const auto *known : {&before_, &runs_}) {
        std::vector<std::uint64_t> given;
        for (const auto &[from, to] : std::map<std::size_t, std::size_t>(known->begin(), known->end())) {
            given.insert(given.end(), {from, to});
        }
        writer.values(std::span<const std::uint64_t>(given));
    }
}

void Survivors::restore(ByteReader &reader, std::size_t end) {
    const auto require = [](bool holds) {
        if (!holds) {
            ByteReader::refuse();
        }
    };
    const auto numbers = reader.values<std::uint64_t>();
    require(numbers.size() == 8 && numbers[0] <= end && numbers[3] < states_ && numbers[4] <= end);
    seen_ = static_cast<std::size_t>(numbers[0]);
    possible_ = numbers[1] != 0;
    settled_ = {static_cast<std::size_t>(numbers[2]), static_cast<std::size_t>(numbers[3])};
    settled_until_ = static_cast<std::size_t>(numbers[4]);
    require(numbers[5] == 0 ||
            (numbers[6] < numbers[0] && numbers[0] - numbers[6] <= weights_.durations && numbers[7] < states_));
    best_now_.reset();
    if (numbers[5] != 0) {
        best_now_ = Beginning{static_cast<std::size_t>(numbers[6]), static_cast<std::size_t>(numbers[7])};
    }
    for (auto &places : places_) {
        const auto given = reader.values<std::uint64_t>();
        require(std::is_sorted(given.begin(), given.end()) && (given.empty() || given.back() < end));
        places.assign(given.begin(), given.end());
        // open_score() knows the places of its window only.
        std::erase_if(places, [&](std::size_t place) { return end - place >= weights_.durations; });
    }
    for (auto *known : {&before_, &runs_}) {
        const auto given = reader.values<std::uint64_t>();
        require(given.size() % 2 == 0);
        for (std::size_t n = 0; n < given.size(); n += 2) {
            require(given[n] / states_ < end && given[n + 1] < given[n] + states_);
            (*known)[static_cast<std::size_t>(given[n])] = static_cast<std::size_t>(given[n + 1]);
        }
    }
}

} // namespace conv2d::detail
