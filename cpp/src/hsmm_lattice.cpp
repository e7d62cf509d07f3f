#include "hsmm_lattice.hpp"

#include "hsmm_block_passes.hpp"
#include "hsmm_forward.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>

namespace conv2d::detail {
namespace {

double share_of(double log_share) { return std::exp(std::min(log_share, 0.0)); } // above zero by rounding only

} // namespace

SegmentLattice::SegmentLattice(Matrix<const double> log_emissions, const HsmmModel &model)
    : log_emissions_((check_hsmm(log_emissions, model), log_emissions)), model_(model),
      weights_(model, log_emissions.rows), offsets_(log_emissions) {
    const std::size_t frames = log_emissions.rows;
    const std::size_t states = log_emissions.cols;
    if (frames == 0) {
        return;
    }
    posteriors_.resize(frames * states);
    begun_.resize(frames * states);
    follows_.resize(frames * states);
    ended_.resize((frames + 1) * states);
    after_.resize((frames + 1) * states);
    PlaceWeights places{begun_.data(), follows_.data(), ended_.data(), after_.data()};
    if (const auto result =
            block_forward_backward(log_emissions, model, {posteriors_.data(), frames, states}, false, &places)) {
        evidence_ = places.whole;
        log_likelihood_ = result->log_likelihood;
        return;
    }
    pass_by_scores();
}

// Both passes in log scores, of any size.
void SegmentLattice::pass_by_scores() {
    const Matrix<const double> log_emissions = log_emissions_;
    const HsmmModel &model = model_;
    const std::size_t frames = log_emissions.rows;
    const std::size_t states = log_emissions.cols;
    std::fill(posteriors_.begin(), posteriors_.end(), 0.0);
    std::fill_n(ended_.begin(), states, kNever);
    std::fill(after_.begin(), after_.end(), 0.0);
    ForwardPass forward(log_emissions, model, weights_, offsets_);
    for (std::size_t start = 0; start < frames; ++start) {
        if (start > 0) {
            forward.change_state(start);
            std::copy_n(forward.ended().begin(), states, ended_.data() + start * states);
        }
        std::copy_n(forward.entered().begin(), states, begun_.data() + start * states);
        forward.advance(start + 1);
    }
    const auto final = forward.end_recording(frames);
    std::copy(final.begin(), final.end(), ended_.data() + frames * states);
    evidence_ = log_sum(final);
    if (evidence_ == kNever) {
        throw_impossible(log_emissions, model);
    }
    log_likelihood_ = evidence_ + offsets_.total();

    // Backwards, places count from the end. A place holds the score of all that follows a segment ending there.
    std::vector<double> terms(weights_.durations);
    OpenPlaces ends(states, frames, weights_.durations);
    for (std::size_t k = 0; k < states; ++k) {
        ends.open(0, k, 0.0);
    }
    for (std::size_t start = frames; start-- > 0;) {
        const std::size_t step = frames - start;
        const std::size_t longest = std::min(step, weights_.durations);
        double *const follows = follows_.data() + start * states;
        for (std::size_t k = 0; k < states; ++k) {
            ends.advance(step - 1, k, log_emissions(start, k) - offsets_[start]);
            const double *places = ends.nearest_first(step, k);
            const double *earlier = start == 0 ? weights_.first(k) : weights_.inner(k);
            const double *closing = start == 0 ? weights_.whole(k) : weights_.last(k);
            double largest = kNever;
            for (std::size_t d = 1; d <= longest; ++d) {
                terms[d - 1] = places[d - 1] + (d == step ? closing[d - 1] : earlier[d - 1]);
                largest = std::max(largest, terms[d - 1]);
            }
            follows[k] = kNever;
            if (largest == kNever) {
                continue;
            }
            // The weight of the segments from here that cover a frame is a sum over the durations that reach it:
            // all terms are positive, where the usual difference of begun and ended segments cancels.
            double sum = 0.0;
            for (std::size_t d = longest; d >= 1; --d) {
                sum += std::exp(terms[d - 1] - largest);
                terms[d - 1] = sum;
            }
            const double tail = ends.sum(k) + largest;
            follows[k] = tail + std::log(sum);
            const double scale = std::exp(begun_[start * states + k] + tail - evidence_);
            if (scale > 0.0) {
                for (std::size_t d = 1; d <= longest; ++d) {
                    posteriors_[(start + d - 1) * states + k] += scale * terms[d - 1];
                }
            }
        }
        if (start == 0) {
            break;
        }
        const auto into = transitions_into(model, start);
        for (std::size_t k = 0; k < states; ++k) {
            after_[start * states + k] = log_sum_exp(follows, into.row(k).data(), states);
            ends.open(step, k, after_[start * states + k]);
        }
    }
    normalise();
}

// A row sums to one but for rounding. Where the scores are so large that their last digit weighs more than a timeline,
// it does not: all but the most likely timeline are then without weight.
void SegmentLattice::normalise() {
    std::vector<Segment> best;
    for (std::size_t t = 0; t < frames(); ++t) {
        double *const row = posteriors_.data() + t * states();
        double sum = 0.0;
        for (std::size_t k = 0; k < states(); ++k) {
            sum += row[k];
        }
        if (sum > 0.5 && sum < 2.0) {
            for (std::size_t k = 0; k < states(); ++k) {
                row[k] /= sum;
            }
            continue;
        }
        if (best.empty()) {
            best = hsmm_viterbi(log_emissions_, model_).segments;
        }
        const auto frame = static_cast<std::int64_t>(t);
        const auto after = std::upper_bound(best.begin(), best.end(), frame,
                                            [](std::int64_t f, const Segment &segment) { return f < segment.start; });
        std::fill_n(row, states(), 0.0);
        row[std::prev(after)->state] = 1.0;
    }
}

double SegmentLattice::begins(std::size_t start, std::size_t state) const {
    const std::size_t place = start * states() + state;
    return share_of(begun_[place] + follows_[place] - evidence_);
}

double SegmentLattice::ends(std::size_t end, std::size_t state) const {
    const std::size_t place = end * states() + state;
    return share_of(ended_[place] + after_[place] - evidence_);
}

double SegmentLattice::change(std::size_t place, std::size_t from, std::size_t to) const {
    return share_of(ended_[place * states() + from] + transitions_into(model_, place)(from, to) +
                    follows_[place * states() + to] - evidence_);
}

double SegmentLattice::segment(std::size_t state, std::size_t start, std::size_t end) const {
    if (end - start > longest()) {
        return 0.0;
    }
    double score = begun_[start * states() + state] - evidence_;
    for (std::size_t t = start; t < end; ++t) {
        score += log_emissions_(t, state) - offsets_[t];
    }
    return share_of(score + weight(state, start, end) + after_[end * states() + state]);
}

void SegmentLattice::segments_from(std::size_t state, std::size_t start, std::span<double> shares) const {
    double score = begun_[start * states() + state] - evidence_;
    for (std::size_t d = 1; d <= shares.size(); ++d) {
        const std::size_t end = start + d;
        score += log_emissions_(end - 1, state) - offsets_[end - 1];
        shares[d - 1] = share_of(score + weight(state, start, end) + after_[end * states() + state]);
    }
}

double SegmentLattice::weight(std::size_t state, std::size_t start, std::size_t end) const {
    const bool last = end == frames();
    const double *table = start == 0 ? (last ? weights_.whole(state) : weights_.first(state))
                                     : (last ? weights_.last(state) : weights_.inner(state));
    return table[end - start - 1];
}

} // namespace conv2d::detail
