#include "hsmm_viterbi_pass.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace conv2d::detail {
namespace {

// Differences of sums fail at -inf, and lose their digits beside one huge score. Whenever a sum leaves +-kFoldLimit it
// is therefore added to the places that can still be used, and starts again from zero: -inf then reaches exactly the
// segments that hold the impossible frame.
constexpr double kFoldLimit = 1e6;

// The same is done for all states every so many frames, and a whole number is taken from all scores: they stay small
// however long the recording, and whole scores stay exact.
constexpr std::size_t kRebaseEvery = 4096;

std::size_t rebase_interval(std::size_t durations) {
    std::size_t frames = kRebaseEvery;
    while (frames < durations && frames <= std::numeric_limits<std::size_t>::max() / 2) {
        frames *= 2; // the cost of going over all places stays below one each frame
    }
    return frames;
}

template <typename T> void write(std::vector<std::byte> &bytes, std::span<const T> values) {
    const std::size_t size = bytes.size();
    bytes.resize(size + values.size_bytes());
    if (!values.empty()) {
        std::memcpy(bytes.data() + size, values.data(), values.size_bytes());
    }
}

template <typename T> void write(std::vector<std::byte> &bytes, const T &value) {
    write(bytes, std::span<const T>(&value, 1));
}

class Reader {
  public:
    explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

    template <typename T> std::vector<T> array(std::uint64_t count) {
        if (count > bytes_.size() / sizeof(T)) {
            throw std::invalid_argument("the saved state has " + std::to_string(bytes_.size()) +
                                        " bytes where more were expected; save it again");
        }
        std::vector<T> values(static_cast<std::size_t>(count));
        if (count > 0) {
            std::memcpy(values.data(), bytes_.data(), values.size() * sizeof(T));
        }
        bytes_ = bytes_.subspan(values.size() * sizeof(T));
        return values;
    }
    template <typename T> T one() { return array<T>(1).front(); }
    [[nodiscard]] bool done() const { return bytes_.empty(); }

  private:
    std::span<const std::byte> bytes_;
};

[[noreturn]] void throw_other_model() {
    throw std::invalid_argument("the saved state is of another model, expected one with the same states and durations");
}

} // namespace

ViterbiPass::ViterbiPass(const HsmmModel &model, std::optional<std::size_t> frames)
    : states_(model.log_initial.size()), weights_(model, frames.value_or(model.log_durations.cols)),
      window_(weights_.durations), rebase_every_(rebase_interval(model.log_durations.cols)),
      initial_(model.log_initial.begin(), model.log_initial.end()), sums_(states_, 0.0), ended_(states_, kNever),
      open_(window_ * states_, kNever), shifts_(states_) {
    if (model.log_transitions.rows == states_) {
        transitions_.assign(model.log_transitions.data, model.log_transitions.data + states_ * states_);
    }
    if (frames) {
        (transitions_.empty() ? origins_.reserve(*frames * states_) : ends_.reserve(*frames * states_));
        places_.reserve(*frames * states_);
    }
}

void ViterbiPass::push(Matrix<const double> log_emissions, Matrix<const double> log_transitions) {
    for (std::size_t t = 0; t < log_emissions.rows; ++t) {
        enter(log_transitions.data == nullptr ? transitions_.data()
                                              : log_transitions.data + t * states_ * log_transitions.cols);
        if (end_ > 0 && end_ % rebase_every_ == 0) {
            rebase();
        }
        advance(log_emissions.row(t).data());
        ++end_;
    }
}

// Begins segments at the place reached.
void ViterbiPass::enter(const double *log_transitions) {
    std::vector<double> entered(initial_);
    if (end_ > 0) {
        std::fill(entered.begin(), entered.end(), kNever);
        for (std::size_t from = 0; from < states_; ++from) {
            for (std::size_t to = 0; to < states_; ++to) {
                entered[to] = std::max(entered[to], ended_[from] + log_transitions[from * states_ + to]);
            }
        }
    }
    if (!transitions_.empty()) {
        ends_.insert(ends_.end(), ended_.begin(), ended_.end());
    } else {
        for (std::size_t k = 0; k < states_; ++k) {
            origins_.push_back(end_ == 0 ? 0
                                         : static_cast<std::uint32_t>(best_origin(ended_.data(), log_transitions, k)));
        }
    }
    for (std::size_t k = 0; k < states_; ++k) {
        const double score = entered[k] - sums_[k];
        places_.push_back(score);
        open_[(end_ % window_) * states_ + k] = score;
    }
}

void ViterbiPass::advance(const double *emissions) {
    const double largest = *std::max_element(emissions, emissions + states_);
    const double offset = largest == kNever ? 0.0 : largest;
    taken_.add(offset);
    for (std::size_t k = 0; k < states_; ++k) {
        sums_[k] += emissions[k] - offset;
        if (!(sums_[k] >= -kFoldLimit && sums_[k] <= kFoldLimit)) {
            shift(k, sums_[k]);
            sums_[k] = 0.0;
        }
    }
    const std::size_t end = end_ + 1;
    const std::size_t later = std::min(end - 1, window_);
    for (std::size_t k = 0; k < states_; ++k) {
        double best = kNever;
        for (std::size_t d = 1; d <= later; ++d) {
            best = std::max(best, open_[((end - d) % window_) * states_ + k] + weights_.inner(k)[d - 1]);
        }
        if (end <= window_) {
            best = std::max(best, open_[k] + weights_.first(k)[end - 1]);
        }
        ended_[k] = sums_[k] + best;
    }
}

void ViterbiPass::rebase() {
    const double largest = *std::max_element(ended_.begin(), ended_.end());
    const double whole = largest == kNever ? 0.0 : std::rint(largest);
    taken_.add(whole);
    for (std::size_t k = 0; k < states_; ++k) {
        shift(k, sums_[k] - whole);
        sums_[k] = 0.0;
    }
}

// Adds to the places up to the one reached, as the ends after it see them.
void ViterbiPass::shift(std::size_t state, double amount) {
    const std::size_t oldest = end_ + 1 > window_ ? end_ + 1 - window_ : 0;
    for (std::size_t place = oldest; place <= end_; ++place) {
        open_[(place % window_) * states_ + state] += amount;
    }
    std::vector<Shift> &shifts = shifts_[state];
    // Between two impossible frames in a row no segment ends: the second alone says it all.
    if (amount == kNever && !shifts.empty() && shifts.back().amount == kNever && shifts.back().place == end_) {
        shifts.back().place = end_ + 1;
        return;
    }
    shifts.push_back({end_ + 1, amount});
}

void ViterbiPass::forget_before(std::size_t place) {
    if (place <= begin_) {
        return;
    }
    const auto gone = static_cast<std::ptrdiff_t>((std::min(place, end_) - begin_) * states_);
    if (transitions_.empty()) {
        origins_.erase(origins_.begin(), origins_.begin() + gone);
    } else {
        ends_.erase(ends_.begin(), ends_.begin() + gone);
    }
    places_.erase(places_.begin(), places_.begin() + gone);
    begin_ = std::min(place, end_);
    for (auto &shifts : shifts_) {
        const auto kept =
            std::find_if(shifts.begin(), shifts.end(), [&](const Shift &one) { return one.place > begin_; });
        shifts.erase(shifts.begin(), kept);
    }
}

std::vector<double> ViterbiPass::end_scores() const {
    std::vector<double> scores(states_, kNever);
    for (std::size_t k = 0; k < states_; ++k) {
        scores[k] = sums_[k] + best_segment(end_, k, weights_.last(k), weights_.whole(k)).value;
    }
    return scores;
}

double ViterbiPass::open_score(std::size_t place, std::size_t state) const {
    return end_ - place < window_ ? open_[(place % window_) * states_ + state] + sums_[state] : kNever;
}

std::size_t ViterbiPass::duration(std::size_t end, std::size_t state) const {
    return best_segment(end, state, weights_.inner(state), weights_.first(state)).index;
}

std::size_t ViterbiPass::last_duration(std::size_t state) const {
    return best_segment(end_, state, weights_.last(state), weights_.whole(state)).index;
}

// Calls visit(duration, score) over the places from begin() on, the nearest first, leaving out impossible ones.
template <typename Visit> void ViterbiPass::visit_segments(std::size_t end, std::size_t state, const double *later,
                                                           const double *opening, Visit &&visit) const {
    const std::vector<Shift> &shifts = shifts_[state];
    const auto known = std::upper_bound(shifts.begin(), shifts.end(), end,
                                        [](std::size_t place, const Shift &one) { return place < one.place; });
    auto seen = known; // the shifts from here to `known` moved the place after it was written
    for (std::size_t d = 1; d <= std::min(end - begin_, window_); ++d) {
        const std::size_t place = end - d;
        while (seen != shifts.begin() && std::prev(seen)->place > place) {
            --seen;
            if (seen->amount == kNever) {
                return;
            }
        }
        double score = places_[(place - begin_) * states_ + state];
        for (auto one = seen; one != known; ++one) {
            score += one->amount;
        }
        visit(d, score + (place == 0 ? opening[d - 1] : later[d - 1]));
    }
}

// Value and duration.
Maximum ViterbiPass::best_segment(std::size_t end, std::size_t state, const double *later,
                                  const double *opening) const {
    Maximum best{kNever, 0};
    visit_segments(end, state, later, opening, [&](std::size_t d, double score) {
        if (score > best.value) {
            best = {score, d};
        }
    });
    return best;
}

void ViterbiPass::durations(std::size_t end, std::size_t state, std::vector<double> &scores) const {
    scores.clear();
    visit_segments(end, state, weights_.inner(state), weights_.first(state),
                   [&](std::size_t, double score) { scores.push_back(score); });
}

void ViterbiPass::last_durations(std::size_t state, std::vector<double> &scores) const {
    scores.clear();
    visit_segments(end_, state, weights_.last(state), weights_.whole(state),
                   [&](std::size_t, double score) { scores.push_back(score); });
}

std::span<const double> ViterbiPass::ends(std::size_t place) const {
    return {ends_.data() + (place - begin_) * states_, states_};
}

std::size_t ViterbiPass::origin(std::size_t place, std::size_t state) const {
    const std::size_t row = (place - begin_) * states_;
    if (transitions_.empty()) {
        return origins_[row + state];
    }
    return best_origin(ends_.data() + row, transitions_.data(), state);
}

std::size_t ViterbiPass::best_origin(const double *ended, const double *log_transitions, std::size_t state) const {
    Maximum best{kNever, 0};
    for (std::size_t from = 0; from < states_; ++from) {
        const double score = ended[from] + log_transitions[from * states_ + state];
        if (score > best.value) {
            best = {score, from};
        }
    }
    return best.index;
}

std::vector<std::byte> ViterbiPass::save() const {
    std::vector<std::byte> bytes;
    const std::uint64_t held = end_ - begin_;
    const std::uint64_t sizes[] = {states_, window_, transitions_.empty(), end_, held};
    write(bytes, std::span<const std::uint64_t>(sizes));
    write(bytes, taken_);
    for (const std::vector<double> *part : {&sums_, &ended_, &open_, &places_, &ends_}) {
        write(bytes, std::span<const double>(*part));
    }
    write(bytes, std::span<const std::uint32_t>(origins_));
    for (const auto &shifts : shifts_) {
        write(bytes, static_cast<std::uint64_t>(shifts.size()));
        for (const Shift &one : shifts) {
            write(bytes, static_cast<std::uint64_t>(one.place));
            write(bytes, one.amount);
        }
    }
    return bytes;
}

void ViterbiPass::restore(std::span<const std::byte> bytes) {
    Reader reader(bytes);
    const auto sizes = reader.array<std::uint64_t>(5);
    const bool fixed = !transitions_.empty();
    if (sizes[0] != states_ || sizes[1] != window_ || sizes[2] != (fixed ? 0 : 1) || sizes[4] > sizes[3] ||
        sizes[4] > bytes.size()) {
        throw_other_model();
    }
    const std::uint64_t values = sizes[4] * states_;
    const auto taken = reader.one<ExactSum>();
    auto sums = reader.array<double>(states_);
    auto ended = reader.array<double>(states_);
    auto open = reader.array<double>(window_ * states_);
    auto places = reader.array<double>(values);
    auto ends = reader.array<double>(fixed ? values : 0);
    auto origins = reader.array<std::uint32_t>(fixed ? 0 : values);
    std::vector<std::vector<Shift>> shifts(states_);
    for (auto &one : shifts) {
        const auto count = reader.one<std::uint64_t>();
        for (std::uint64_t n = 0; n < count; ++n) {
            const auto place = reader.one<std::uint64_t>();
            one.push_back({static_cast<std::size_t>(place), reader.one<double>()});
        }
    }
    if (!reader.done() || std::any_of(origins.begin(), origins.end(), [&](std::uint32_t k) { return k >= states_; })) {
        throw_other_model();
    }
    end_ = static_cast<std::size_t>(sizes[3]);
    begin_ = end_ - static_cast<std::size_t>(sizes[4]);
    taken_ = taken;
    sums_ = std::move(sums);
    ended_ = std::move(ended);
    open_ = std::move(open);
    places_ = std::move(places);
    ends_ = std::move(ends);
    origins_ = std::move(origins);
    shifts_ = std::move(shifts);
}

} // namespace conv2d::detail
