#include "stream_posteriors.hpp"

#include <algorithm>
#include <cmath>

namespace conv2d::detail {
namespace {

constexpr double kFoldLimit = 1e6;
constexpr std::size_t kRebaseEvery = 4096;

// The model with an open end: what holds for a recording that is still going on.
HsmmModel open_ended(HsmmModel model) {
    const bool from_left = model.censoring == Censoring::left || model.censoring == Censoring::both;
    model.censoring = from_left ? Censoring::both : Censoring::right;
    return model;
}

double log_sum(std::span<const double> scores) {
    const double largest = *std::max_element(scores.begin(), scores.end());
    if (largest == kNever) {
        return kNever;
    }
    double sum = 0.0;
    for (const double score : scores) {
        sum += std::exp(score - largest);
    }
    return largest + std::log(sum);
}

// False when all scores are -inf.
bool to_shares(std::span<const double> scores, std::span<double> shares) {
    const double total = log_sum(scores);
    if (total == kNever) {
        return false;
    }
    double sum = 0.0;
    for (std::size_t k = 0; k < scores.size(); ++k) {
        shares[k] = std::exp(scores[k] - total);
        sum += shares[k];
    }
    for (double &share : shares) {
        share /= sum; // one but for rounding
    }
    return true;
}

} // namespace

StreamPosteriors::Window::Window(std::size_t states, std::size_t width)
    : values_(states * 2 * width, kNever), width_(width), stride_(2 * width), first_(width) {}

void StreamPosteriors::Window::push(std::span<const double> newest) {
    const std::size_t kept = width_ - 1;
    for (std::size_t k = 0; k < newest.size() && first_ == 0; ++k) {
        double *row = values_.data() + k * stride_;
        std::copy_n(row, kept, row + stride_ - kept);
    }
    first_ = (first_ == 0 ? stride_ - kept : first_) - 1;
    for (std::size_t k = 0; k < newest.size(); ++k) {
        values_[k * stride_ + first_] = newest[k];
    }
}

void StreamPosteriors::Window::add(std::size_t state, double amount) {
    double *row = values_.data() + state * stride_ + first_;
    for (std::size_t n = 0; n < width_; ++n) {
        row[n] += amount;
    }
}

StreamPosteriors::StreamPosteriors(const HsmmModel &model, std::optional<std::size_t> lag)
    : states_(model.log_initial.size()), closed_(model, model.log_durations.cols),
      open_(open_ended(model), model.log_durations.cols),
      transitions_(model.log_transitions.data, model.log_transitions.data + states_ * states_), lag_(lag),
      sums_(states_, 0.0), entered_(model.log_initial.begin(), model.log_initial.end()),
      places_(states_, model.log_durations.cols) {
    if (lag_) {
        rows_.push_back({entered_, std::vector<double>(states_, kNever), {}});
    }
}

// Log score of all segments that began before end_, `skip` or more places before the last of them, and end there.
double StreamPosteriors::ends(std::size_t state, const double *later, const double *opening, std::size_t skip) const {
    const double *places = places_.nearest_first(state);
    const std::size_t inner = std::min(end_ - 1, open_.durations); // the recording's first segment has its own weight
    double score = kNever;
    if (inner > skip) {
        score = log_sum_exp(places + skip, later + skip, inner - skip);
    }
    if (end_ <= open_.durations && end_ > skip) {
        score = log_add_exp(score, places[end_ - 1] + opening[end_ - 1]);
    }
    return score == kNever ? kNever : sums_[state] + score;
}

bool StreamPosteriors::push(std::span<const double> emissions, std::span<double> filtered,
                            std::vector<double> &smoothed) {
    if (end_ > 0 && end_ % kRebaseEvery == 0) {
        rebase();
    }
    std::vector<double> scores(states_);
    for (std::size_t k = 0; k < states_; ++k) {
        scores[k] = entered_[k] - sums_[k];
    }
    places_.push(scores);
    const double offset = *std::max_element(emissions.begin(), emissions.end());
    std::vector<double> seen(states_);
    for (std::size_t k = 0; k < states_; ++k) {
        seen[k] = emissions[k] - offset;
        sums_[k] += seen[k];
        if (!(sums_[k] >= -kFoldLimit && sums_[k] <= kFoldLimit)) {
            places_.add(k, sums_[k]);
            sums_[k] = 0.0;
        }
    }
    ++end_;
    for (std::size_t k = 0; k < states_; ++k) {
        scores[k] = ends(k, open_.last(k), open_.whole(k), 0);
    }
    if (!to_shares(scores, filtered)) {
        return false;
    }
    for (std::size_t k = 0; k < states_; ++k) {
        scores[k] = ends(k, open_.inner(k), open_.first(k), 0);
    }
    enter_states(scores, {transitions_.data(), states_, states_}, entered_);
    if (!lag_) {
        return true;
    }
    rows_.back().emissions = std::move(seen);
    rows_.push_back({entered_, std::vector<double>(states_, kNever), {}});
    for (std::size_t k = 0; k < states_ && smoothed_ > 0; ++k) {
        rows_.back().covering[k] = ends(k, open_.inner(k), open_.first(k), end_ - smoothed_);
    }
    if (end_ <= *lag_) {
        return true;
    }
    next_smoothed();
    smoothed.resize(smoothed.size() + states_);
    return smooth(open_, {}, std::span(smoothed).last(states_));
}

// The next frame's turn: segments that begin with it may cover it, too.
void StreamPosteriors::next_smoothed() {
    const std::vector<double> entered = std::move(rows_.front().entered);
    std::vector<double> passed = std::move(rows_.front().emissions); // sum over the segment's frames
    rows_.erase(rows_.begin());
    for (std::size_t d = 1; d <= std::min(rows_.size(), open_.durations); ++d) {
        Row &row = rows_[d - 1];
        for (std::size_t k = 0; k < states_; ++k) {
            const double weight = (smoothed_ == 0 ? open_.first(k) : open_.inner(k))[d - 1];
            row.covering[k] = log_add_exp(row.covering[k], entered[k] + passed[k] + weight);
            passed[k] += row.emissions.empty() ? 0.0 : row.emissions[k];
        }
    }
    ++smoothed_;
}

// Shares of the states at frame smoothed_ - 1: the segments that cover it end at one of the places behind it, each
// with all that follows, or are under way at the end.
bool StreamPosteriors::smooth(const SegmentWeights &weights, std::span<const double> log_final,
                              std::span<double> shares) const {
    const std::size_t places = end_ - smoothed_; // behind the frame and before the end: rows_[0 .. places - 1]
    const auto bonus = [&](std::size_t state) { return log_final.empty() ? 0.0 : log_final[state]; };
    std::vector<double> follows(states_);          // log weight of all behind a beginning
    std::vector<double> after(places * states_);   // and behind an end
    std::vector<double> terms(std::max(places, states_) + 1);
    for (std::size_t n = places; n-- > 0;) {
        for (std::size_t k = 0; k < states_; ++k) {
            double passed = 0.0;
            const std::size_t longest = std::min(places - n, weights.durations);
            for (std::size_t d = 1; d <= longest; ++d) {
                passed += rows_[n + d - 1].emissions[k];
                terms[d - 1] = passed + (n + d == places ? weights.last(k)[d - 1] + bonus(k)
                                                         : weights.inner(k)[d - 1] + after[(n + d) * states_ + k]);
            }
            follows[k] = log_sum(std::span(terms).first(longest));
        }
        for (std::size_t from = 0; from < states_; ++from) {
            after[n * states_ + from] = log_sum_exp(transitions_.data() + from * states_, follows.data(), states_);
        }
    }
    std::vector<double> scores(states_);
    for (std::size_t k = 0; k < states_; ++k) {
        for (std::size_t n = 0; n < places; ++n) {
            terms[n] = rows_[n].covering[k] + after[n * states_ + k];
        }
        terms[places] = ends(k, weights.last(k), weights.whole(k), places) + bonus(k);
        scores[k] = log_sum(std::span(terms).first(places + 1));
    }
    return to_shares(scores, shares);
}

bool StreamPosteriors::flush(std::span<const double> log_final, std::vector<double> &smoothed) const {
    if (!lag_) {
        return true;
    }
    StreamPosteriors rest(*this);
    while (rest.smoothed_ < end_) {
        rest.next_smoothed();
        smoothed.resize(smoothed.size() + states_);
        if (!rest.smooth(closed_, log_final, std::span(smoothed).last(states_))) {
            return false;
        }
    }
    return true;
}

// Scores fall with every frame; a common amount is given back before they lose digits.
void StreamPosteriors::rebase() {
    const double largest = *std::max_element(entered_.begin(), entered_.end());
    const double amount = largest == kNever ? 0.0 : largest;
    for (std::size_t k = 0; k < states_; ++k) {
        places_.add(k, sums_[k] - amount);
        sums_[k] = 0.0;
        entered_[k] -= amount;
        for (Row &row : rows_) {
            row.entered[k] -= amount;
            row.covering[k] -= amount;
        }
    }
}

void StreamPosteriors::save(ByteWriter &writer) const {
    writer.value(static_cast<std::uint64_t>(end_));
    writer.value(static_cast<std::uint64_t>(smoothed_));
    writer.values(std::span(sums_));
    writer.values(std::span(entered_));
    std::vector<double> newest;
    for (std::size_t k = 0; k < states_; ++k) {
        newest.insert(newest.end(), places_.nearest_first(k), places_.nearest_first(k) + places_.width_);
    }
    writer.values(std::span<const double>(newest));
    for (const Row &row : rows_) {
        writer.values(std::span(row.entered));
        writer.values(std::span(row.covering));
        writer.values(std::span(row.emissions));
    }
}

void StreamPosteriors::restore(ByteReader &reader) {
    const auto exactly = [&](std::size_t count) {
        auto values = reader.values<double>();
        if (values.size() != count) {
            ByteReader::refuse();
        }
        return values;
    };
    const auto end = reader.value<std::uint64_t>();
    const auto smoothed = reader.value<std::uint64_t>();
    if (smoothed > end || (lag_ && end - smoothed > *lag_) || (!lag_ && smoothed != 0)) {
        ByteReader::refuse();
    }
    end_ = static_cast<std::size_t>(end);
    smoothed_ = static_cast<std::size_t>(smoothed);
    sums_ = exactly(states_);
    entered_ = exactly(states_);
    const auto newest = exactly(states_ * places_.width_);
    places_ = Window(states_, places_.width_);
    for (std::size_t k = 0; k < states_; ++k) {
        std::copy_n(newest.data() + k * places_.width_, places_.width_,
                    places_.values_.data() + k * places_.stride_ + places_.first_);
    }
    rows_.clear();
    for (std::size_t place = smoothed_; lag_ && place <= end_; ++place) {
        Row row{exactly(states_), exactly(states_), {}};
        row.emissions = exactly(place < end_ ? states_ : 0);
        rows_.push_back(std::move(row));
    }
}

} // namespace conv2d::detail
