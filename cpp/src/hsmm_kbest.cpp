#include "conv2d/timelines.hpp"

#include "hsmm_viterbi_pass.hpp"

#include <algorithm>
#include <cstddef>
#include <deque>
#include <functional>
#include <stdexcept>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace conv2d {
namespace {

// The best paths of one recording, looked up by place and state. Scores are comparable at one place only.
class BestPaths {
  public:
    BestPaths(Matrix<const double> log_emissions, const HsmmModel &model)
        : transitions_(model.log_transitions), initial_(model.log_initial), pass_(model, log_emissions.rows) {
        const std::size_t states = log_emissions.cols;
        if (transitions_.rows == states) {
            pass_.push(log_emissions);
        } else { // the pass then keeps the states before only
            for (std::size_t t = 0; t < log_emissions.rows; ++t) {
                pass_.push({log_emissions.row(t).data(), 1, states},
                           {transitions_.data + t * states * states, states, states});
                ended_.insert(ended_.end(), pass_.ended().begin(), pass_.ended().end());
            }
        }
        final_ = pass_.end_scores();
        best_ = *std::max_element(final_.begin(), final_.end());
        if (best_ == kNever) {
            detail::throw_impossible(log_emissions, model);
        }
    }

    [[nodiscard]] std::size_t frames() const { return pass_.end(); }
    [[nodiscard]] std::size_t states() const { return pass_.states(); }

    // Score of a timeline that is so much worse than the best one.
    [[nodiscard]] double score(double loss) const { return pass_.absolute(best_ - loss); }

    // Best score with a segment of each state that ends at `place`, of each duration for one state.
    [[nodiscard]] std::span<const double> ended(std::size_t place) const {
        if (place == frames()) {
            return final_;
        }
        return ended_.empty() ? pass_.ends(place)
                              : std::span<const double>(ended_.data() + (place - 1) * states(), states());
    }
    void durations(std::size_t place, std::size_t state, std::vector<double> &scores) const {
        if (place == frames()) {
            pass_.last_durations(state, scores);
        } else {
            pass_.durations(place, state, scores);
        }
    }

    // Best score with a segment of `state` that begins at `place`, after each state.
    void origins(std::size_t place, std::size_t state, std::vector<double> &scores) const {
        scores.assign(1, initial_[state]);
        if (place == 0) {
            return;
        }
        const auto before = ended(place);
        const std::size_t first = ended_.empty() ? 0 : place * states();
        scores.resize(states());
        for (std::size_t k = 0; k < states(); ++k) {
            scores[k] = before[k] + transitions_(first + k, state);
        }
    }

  private:
    Matrix<const double> transitions_;
    std::span<const double> initial_;
    detail::ViterbiPass pass_;
    std::vector<double> ended_;
    std::vector<double> final_;
    double best_ = 0.0;
};

// What a node of the search stands for: all timelines up to
enum class Kind : std::uint8_t {
    begin, // a place where a segment (under Distinct::labels a joined one) in a state begins
    end,   // a place where one ends
    whole, // the end of the recording, in any state
};

// One way to reach a node from the node before it. Losses are what a way costs against the best way: differences of
// scores near each other, which keep their digits on recordings of any length, and are never negative.
struct Way {
    double loss;
    std::size_t step;  // the order among ways of equal loss: state before, duration, or final state
    bool open = false; // Distinct::labels only: a cut inside a joined segment, from which other ways follow

    // Whether this one comes later. Cuts come first: the ways that follow from one may be as good, and shorter.
    bool operator>(const Way &other) const {
        return std::make_tuple(loss, !open, step) > std::make_tuple(other.loss, !other.open, other.step);
    }
};

template <typename T> void push(std::vector<T> &heap, const T &item) {
    heap.push_back(item);
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
}

template <typename T> T pop(std::vector<T> &heap) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const T item = heap.back();
    heap.pop_back();
    return item;
}

struct Node {
    // The best timelines up to here that are known, in order: by way `way` of `ways`, and on from there the timeline
    // of rank `rank` of that way's node.
    struct Found {
        double loss;
        std::size_t step;
        std::size_t rank;
        std::size_t way;
        bool operator>(const Found &other) const {
            return std::tie(loss, step, rank) > std::tie(other.loss, other.step, other.rank);
        }
    };
    struct UsedWay {
        double loss;
        Node *from;
    };

    Kind kind;
    std::size_t place;
    std::size_t state;
    bool listed = false;    // whether `later` holds the ways
    bool exhausted = false; // whether `found` has all timelines
    std::vector<Found> found;
    std::vector<Found> candidates;        // a heap: for each used way its next timeline
    std::vector<UsedWay> ways;            // in order
    std::vector<Way> later;               // a heap of the ways that are not used yet
    std::unordered_set<std::size_t> cuts; // Distinct::labels only: lengths at which the segment was cut already
};

class Search {
  public:
    Search(const BestPaths &paths, Distinct distinct)
        : paths_(paths), joined_(distinct == Distinct::labels), whole_(node(Kind::whole, paths.frames(), 0)) {}

    // Whether there is a timeline of this rank; finds it then.
    [[nodiscard]] bool has(std::size_t rank) { return find(whole_, rank); }

    [[nodiscard]] Timeline timeline(std::size_t rank) {
        Timeline timeline{paths_.score(whole_.found[rank].loss), {}};
        std::size_t end = 0;
        for (Node *at = &whole_; at->kind != Kind::begin || at->place > 0;) {
            // The best timeline of a node counts as known before anybody asked for it.
            static_cast<void>(find(*at, rank));
            const Node::Found &found = at->found[rank];
            Node *from = at->ways[found.way].from;
            if (at->kind == Kind::end) {
                timeline.segments.push_back({static_cast<std::int64_t>(at->state),
                                             static_cast<std::int64_t>(from->place), static_cast<std::int64_t>(end)});
            }
            end = from->place;
            rank = found.rank;
            at = from;
        }
        std::reverse(timeline.segments.begin(), timeline.segments.end());
        return timeline;
    }

  private:
    Node &node(Kind kind, std::size_t place, std::size_t state) {
        const std::size_t key = (place * paths_.states() + state) * 3 + static_cast<std::size_t>(kind);
        const auto [position, added] = known_.try_emplace(key, nullptr);
        if (added) {
            Node &made = nodes_.emplace_back();
            made.kind = kind;
            made.place = place;
            made.state = state;
            position->second = &made;
        }
        return *position->second;
    }

    // Finds the timeline of this rank of a node, false when there are fewer. The next of a node may need the next of
    // the node before it, and so on to the start of the recording: with a stack of its own, however many segments.
    bool find(Node &wanted, std::size_t rank) {
        pending_.assign(1, {&wanted, rank});
        while (!pending_.empty()) {
            const auto [at, needed] = pending_.back();
            if (at->exhausted || at->found.size() > needed) {
                pending_.pop_back();
                continue;
            }
            if (!at->found.empty()) {
                const Node::Found &last = at->found.back();
                const Node::UsedWay &way = at->ways[last.way];
                if (way.from != nullptr) {
                    if (!way.from->exhausted && way.from->found.size() <= last.rank + 1) {
                        pending_.emplace_back(way.from, last.rank + 1);
                        continue;
                    }
                    if (way.from->found.size() > last.rank + 1) {
                        push(at->candidates,
                             {way.loss + way.from->found[last.rank + 1].loss, last.step, last.rank + 1, last.way});
                    }
                }
            }
            use_ways(*at);
            if (at->candidates.empty()) {
                at->exhausted = true;
            } else {
                at->found.push_back(pop(at->candidates));
            }
        }
        return wanted.found.size() > rank;
    }

    // All ways that may be as good as the best candidate.
    void use_ways(Node &at) {
        if (!at.listed) {
            list_ways(at);
            at.listed = true;
        }
        while (!at.later.empty() && (at.candidates.empty() || at.later.front().loss <= at.candidates.front().loss)) {
            const Way way = pop(at.later);
            if (way.open) {
                follow_cut(at, way);
                continue;
            }
            // The best timeline of the node before costs nothing by definition, so it need not be found yet.
            push(at.candidates, {way.loss, way.step, 0, at.ways.size()});
            at.ways.push_back({way.loss, before(at, way.step)});
        }
    }

    Node *before(const Node &at, std::size_t step) {
        switch (at.kind) {
        case Kind::begin:
            return at.place == 0 ? nullptr : &node(Kind::end, at.place, step);
        case Kind::end:
            return &node(Kind::begin, at.place - step, at.state);
        default:
            return &node(Kind::end, at.place, step);
        }
    }

    void list_ways(Node &at) {
        switch (at.kind) {
        case Kind::begin:
            paths_.origins(at.place, at.state, scores_);
            if (joined_ && at.place > 0) {
                scores_[at.state] = kNever;
            }
            break;
        case Kind::end:
            list_durations(at, 0, 0.0);
            return;
        case Kind::whole:
            const auto ended = paths_.ended(at.place);
            scores_.assign(ended.begin(), ended.end());
        }
        const double best = *std::max_element(scores_.begin(), scores_.end());
        for (std::size_t k = 0; k < scores_.size(); ++k) {
            if (scores_[k] != kNever) {
                push(at.later, {best - scores_[k], k});
            }
        }
    }

    // The ways to begin the last segment of those that end `length` frames before the node's place, in its state.
    void list_durations(Node &at, std::size_t length, double loss) {
        paths_.durations(at.place - length, at.state, scores_);
        const double best = *std::max_element(scores_.begin(), scores_.end());
        for (std::size_t d = 1; d <= scores_.size(); ++d) {
            if (scores_[d - 1] != kNever) {
                push(at.later, {loss + (best - scores_[d - 1]), length + d, joined_});
            }
        }
    }

    // Here one segment of the state begins. Either the joined segment does, too, or another of the same state ends.
    // Of the ways to get to a cut the first is the best: cuts come in the order of the best timeline through them.
    void follow_cut(Node &at, const Way &cut) {
        if (!at.cuts.insert(cut.step).second) {
            return;
        }
        const std::size_t place = at.place - cut.step;
        paths_.origins(place, at.state, scores_);
        const double best = *std::max_element(scores_.begin(), scores_.end());
        double same = kNever;
        if (place > 0) {
            std::swap(same, scores_[at.state]);
        }
        const double other = *std::max_element(scores_.begin(), scores_.end());
        if (same != kNever) {
            list_durations(at, cut.step, cut.loss + (best - same));
        }
        if (other != kNever) {
            push(at.later, {cut.loss + (best - other), cut.step});
        }
    }

    const BestPaths &paths_;
    bool joined_;
    std::deque<Node> nodes_; // keeps their addresses
    std::unordered_map<std::size_t, Node *> known_;
    std::vector<std::pair<Node *, std::size_t>> pending_;
    std::vector<double> scores_;
    Node &whole_;
};

} // namespace

std::vector<Timeline> hsmm_kbest(Matrix<const double> log_emissions, const HsmmModel &model, std::size_t count,
                                 Distinct distinct) {
    detail::check_hsmm(log_emissions, model);
    if (count == 0) {
        throw std::invalid_argument("k is 0, expected at least 1 timeline");
    }
    if (log_emissions.rows == 0) {
        return {Timeline{}};
    }
    const BestPaths paths(log_emissions, model);
    Search search(paths, distinct);
    std::vector<Timeline> timelines;
    for (std::size_t rank = 0; rank < count && search.has(rank); ++rank) {
        timelines.push_back(search.timeline(rank));
    }
    return timelines;
}

} // namespace conv2d
