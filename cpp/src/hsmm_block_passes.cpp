#include "hsmm_block_passes.hpp"

#include "hsmm_forward.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace conv2d::detail {
namespace {

using simd::kBlockRows;

constexpr double kFarthest = 0x1p30;          // as in the kernels: scores beyond it leave no digits to the others
constexpr double kFarthestTransition = 270.0; // between two transitions; 2^-390, with 2^-600 still a normal number

} // namespace

bool initial_within(const HsmmModel &model) {
    return std::all_of(model.log_initial.begin(), model.log_initial.end(),
                       [](double score) { return score == kNever || std::abs(score) <= kFarthest; });
}

BlockPass::BlockPass(std::size_t states, std::size_t width, std::size_t ring, bool wraps, std::size_t chunks,
                     bool keep_ended) {
    const std::size_t rows = ring * kBlockRows;
    const std::size_t scratch = 8 * (chunks + 2) + 3 * width;
    memory_ =
        WorkBlock(width * (3 * rows + 3 * ring + 2 * kBlockRows + 6) + scratch + (keep_ended ? 2 * rows * width : 0));
    double *next = memory_.data();
    const auto take = [&](std::size_t count) {
        double *const taken = next;
        next += count;
        return taken;
    };
    pass_.states = states;
    pass_.width = width;
    pass_.ring = wraps ? ring - 1 : ~std::size_t{0};
    pass_.sources = take(rows * width);
    pass_.mantissa = take(rows * width);
    pass_.exponent = take(rows * width);
    pass_.source_top = take(ring * width);
    pass_.source_lossy = take(ring * width);
    pass_.barrier = take(ring * width);
    pass_.sum = take(kBlockRows * width);
    pass_.inner = take(kBlockRows * width);
    pass_.unit = take(width);
    pass_.inner_unit = take(width);
    pass_.sum_lossy = take(width);
    pass_.ended_mantissa = take(width);
    pass_.ended_exponent = take(width);
    pass_.scratch = take(scratch);
    pass_.ended = keep_ended ? take(2 * rows * width) : nullptr;
    std::fill_n(pass_.barrier, width, -1.0);
    std::fill_n(pass_.ended_mantissa, width, 0.0);
    std::fill_n(pass_.ended_exponent, width, Weight::kNoExponent);
}

void BlockPass::set_begun(std::size_t row, std::size_t state, Weight weight) {
    const std::size_t at = ((row / kBlockRows & pass_.ring) * kBlockRows + row % kBlockRows) * pass_.width + state;
    pass_.mantissa[at] = weight.mantissa;
    pass_.exponent[at] = weight.exponent;
}

TransitionRows::TransitionRows(const HsmmModel &model, std::size_t width, bool backward)
    : model_(model), width_(width), backward_(backward),
      each_frame_(model.log_transitions.rows != model.log_transitions.cols), rows_(model.log_transitions.cols * width) {
    std::fill_n(rows_.data(), model.log_transitions.cols * width, 0.0);
    if (!each_frame_) {
        fill(0);
    }
}

simd::LinearTransitions TransitionRows::at(std::size_t place) {
    if (each_frame_) {
        fill(place);
    }
    return {rows_.data(), exponent_};
}

void TransitionRows::fill(std::size_t place) {
    const auto scores = transitions_into(model_, place);
    const std::size_t states = scores.cols;
    double largest = kNever;
    double smallest = HUGE_VAL;
    for (std::size_t i = 0; i < states * states; ++i) {
        largest = std::max(largest, scores.data[i]);
        smallest = std::min(smallest, scores.data[i] == kNever ? HUGE_VAL : scores.data[i]);
    }
    if (largest != kNever && (std::abs(largest) > kFarthest || largest - smallest > kFarthestTransition)) {
        within_ = false;
        return;
    }
    exponent_ = largest == kNever ? 0.0 : Weight::of_log(largest).exponent;
    const double offset = exponent_ * 0x1.62e42fefa39efp-1;
    const double rest = exponent_ * 0x1.abc9e3b39803fp-56;
    for (std::size_t from = 0; from < states; ++from) {
        for (std::size_t to = 0; to < states; ++to) {
            const double score = scores(from, to);
            rows_.data()[backward_ ? to * width_ + from : from * width_ + to] =
                score == kNever ? 0.0 : std::exp(score - offset - rest);
        }
    }
}

namespace {

class ForwardBackward {
  public:
    ForwardBackward(Matrix<const double> log_emissions, const HsmmModel &model, bool with_counts, PlaceWeights *places)
        : log_emissions_(log_emissions), model_(model), frames_(log_emissions.rows), states_(log_emissions.cols),
          width_(padded(states_)), blocks_(frames_ / kBlockRows + 1), weights_(model, frames_),
          from_left_(model.censoring == Censoring::left || model.censoring == Censoring::both),
          to_right_(model.censoring == Censoring::right || model.censoring == Censoring::both),
          kernels_(simd::posterior_kernels(simd_path())),
          inner_([this](std::size_t k) { return weights_.inner(k); }, states_, width_, weights_.durations),
          offsets_(frames_), with_counts_(with_counts), places_(places), chunks_(inner_.chunks().chunks),
          forward_(states_, width_, blocks_ + 1, false, chunks_, with_counts || places != nullptr),
          backward_(states_, width_, std::bit_ceil(chunks_ + 2), true, chunks_, with_counts || places != nullptr),
          products_(blocks_ * 2 * width_), emissions_(width_), opening_(2 * width_), suspect_(width_) {
        if (from_left_) {
            first_ =
                DurationTable([this](std::size_t k) { return weights_.first(k); }, states_, width_, weights_.durations);
        }
        if (to_right_) {
            last_ =
                DurationTable([this](std::size_t k) { return weights_.last(k); }, states_, width_, weights_.durations);
        }
    }

    [[nodiscard]] bool forward();
    [[nodiscard]] bool backward(Matrix<double> posteriors, ExpectedCounts &counts);
    [[nodiscard]] double log_likelihood() const {
        double total = evidence_.log();
        for (const double offset : offsets_) {
            total += offset;
        }
        return total;
    }

  private:
    [[nodiscard]] std::size_t mirrored(std::size_t place) const { return blocks_ * kBlockRows - 1 - place; }
    [[nodiscard]] bool impossible(std::size_t frame, std::size_t state) const {
        return log_emissions_(frame, state) == kNever;
    }
    [[nodiscard]] Weight product_at(std::size_t place, std::size_t state);
    [[nodiscard]] Weight initial(std::size_t state) const { return Weight::of_log(model_.log_initial[state]); }

    bool open_block(std::size_t block, bool backwards);
    void count_changes(std::size_t mirrored_block, std::size_t row, TransitionRows &transitions);
    void repair_ends(std::size_t place);
    void repair_begins(std::size_t place);
    void find_evidence();
    void add_last_segments(ExpectedCounts &counts);
    void add_first_segments(ExpectedCounts &counts);
    void keep_places(std::size_t mirrored_block);
    void finish_rows(std::size_t block, Matrix<double> posteriors);
    void collect(ExpectedCounts &counts) const;

    Matrix<const double> log_emissions_;
    const HsmmModel &model_;
    std::size_t frames_, states_, width_, blocks_;
    SegmentWeights weights_;
    bool from_left_, to_right_;
    const simd::PosteriorKernels &kernels_;
    DurationTable inner_, first_, last_;
    std::vector<double> offsets_;
    bool with_counts_;
    PlaceWeights *places_;
    std::size_t chunks_;
    BlockPass forward_, backward_;
    WorkBlock products_; // (blocks, 2, width) of all emissions before the block
    BlockEmissions emissions_;
    simd::EmissionRows rows_{};
    WorkBlock opening_;              // what began a pass with durations of its own
    std::vector<Weight> after_last_; // what follows an end at the last place: 1 / evidence, divided as in the store
    std::vector<double> suspect_;
    Weight evidence_;
    std::vector<double> shares_; // ring of rows (width) that still grow
    std::size_t share_ring_ = 0;
    std::vector<double> first_rows_, last_rows_; // shares of the first frames, and of the last, in cut segments
    WorkBlock counted_;
    std::vector<double> changes_;
};

// Products of emissions of a block, in the order of one direction. False when scores are too far apart.
bool ForwardBackward::open_block(std::size_t block, bool backwards) {
    const std::size_t start = block * kBlockRows;
    const std::size_t frames = std::min(kBlockRows, frames_ - start);
    const std::size_t from = backwards ? kBlockRows - 1 : 0;
    // Backwards, the frame behind row r is 6 - r of the block; behind its row 7 lies the last frame of the block
    // before.
    rows_.mantissa = emissions_.row(0, from);
    rows_.inverse = emissions_.row(1, from);
    rows_.exponent = emissions_.row(2, from);
    rows_.possible = emissions_.row(3, backwards ? kBlockRows - 1 : 0);
    rows_.step = backwards ? -static_cast<std::ptrdiff_t>(width_) : static_cast<std::ptrdiff_t>(width_);
    double *const saved = products_.data() + block * 2 * width_;
    double *const product = emissions_.product();
    std::copy_n(backwards ? saved : product, 2 * width_, backwards ? product : saved);
    const bool within = kernels_.emissions(log_emissions_.data + start * states_, frames, states_, width_,
                                           (frames_ - start) * states_, product, offsets_.data() + start, rows_);
    simd::Pass &pass = backwards ? backward_.state() : forward_.state();
    pass.multiply = emissions_.row(backwards ? 1 : 0, 0);
    pass.divide = emissions_.row(backwards ? 0 : 1, 0);
    pass.exponent_rows = emissions_.row(2, 0);
    pass.possible = emissions_.row(3, backwards ? 1 : 0);
    pass.sign = backwards ? -1.0 : 1.0;
    pass.impossible = rows_.impossible;
    if (backwards) {
        double *const behind = emissions_.row(3, kBlockRows);
        for (std::size_t k = 0; k < width_; ++k) {
            const bool none = block > 0 && k < states_ && impossible(start - 1, k);
            behind[k] = none ? 0.0 : 1.0;
            pass.impossible = pass.impossible || none;
        }
        if (pass.impossible && !rows_.impossible) {
            std::fill_n(emissions_.row(3, 0), kBlockRows * width_, 1.0);
        }
    }
    return within;
}

// Of all emissions before a place of the block that is open, since the state was last impossible.
Weight ForwardBackward::product_at(std::size_t place, std::size_t state) {
    const std::size_t row = place % kBlockRows;
    const auto step = rows_.step * static_cast<std::ptrdiff_t>(row);
    return {(rows_.mantissa + step)[state], (rows_.exponent + step)[state]};
}

// The sums of ends that the kernels could not hold, term by term.
void ForwardBackward::repair_ends(std::size_t place) {
    simd::Pass &pass = forward_.state();
    for (std::size_t k = 0; k < states_; ++k) {
        if (suspect_[k] == 0.0) {
            continue;
        }
        Weight sum;
        for (std::size_t d = 1; d <= std::min(place, weights_.durations) && !impossible(place - d, k); ++d) {
            const bool first = d == place;
            const Weight begun = first ? initial(k) : forward_.begun(place - d, k);
            sum += begun * Weight::of_log((first ? weights_.first(k) : weights_.inner(k))[d - 1]);
        }
        pass.ended_mantissa[k] = sum.mantissa;
        pass.ended_exponent[k] = sum.exponent;
    }
}

void ForwardBackward::repair_begins(std::size_t place) {
    simd::Pass &pass = backward_.state();
    const double *const opened = opening_.data();
    for (std::size_t k = 0; k < states_; ++k) {
        if (suspect_[k] == 0.0) {
            continue;
        }
        Weight sum;
        for (std::size_t d = 1; d <= std::min(frames_ - place, weights_.durations) && !impossible(place + d - 1, k);
             ++d) {
            const bool last = place + d == frames_;
            const Weight after = last ? Weight{opened[k], opened[width_ + k]} : backward_.begun(mirrored(place + d), k);
            sum += after * Weight::of_log((last ? weights_.last(k) : weights_.inner(k))[d - 1]);
        }
        pass.ended_mantissa[k] = sum.mantissa;
        pass.ended_exponent[k] = sum.exponent;
    }
}

bool ForwardBackward::forward() {
    simd::Pass &pass = forward_.state();
    TransitionRows transitions(model_, width_, false);
    if (!inner_.within() || !first_.within() || !last_.within() || !transitions.within() || !initial_within(model_)) {
        return false;
    }
    std::fill_n(emissions_.product(), width_, 1.0);
    std::fill_n(emissions_.product() + width_, width_, 0.0);
    double *const opened = opening_.data();
    for (std::size_t k = 0; k < width_; ++k) {
        const Weight begun = k < states_ ? initial(k) : Weight{};
        opened[k] = begun.mantissa;
        opened[width_ + k] = begun.exponent;
    }
    const simd::Opening opening{from_left_ ? opened : nullptr, opened + width_, 0};
    for (std::size_t block = 0; block < blocks_; ++block) {
        if (!open_block(block, false)) {
            return false;
        }
        kernels_.bulk(pass, block, inner_.chunks(), first_.chunks(), opening);
        const std::size_t rows = std::min(kBlockRows, frames_ - block * kBlockRows);
        std::size_t row = 0;
        if (block > 0 && transitions.for_all_frames()) {
            row = kernels_.steps(pass, block, 0, rows, transitions.at(1), inner_.chunks());
        }
        for (; row < rows; ++row) {
            const std::size_t place = block * kBlockRows + row;
            if (place == 0) {
                for (std::size_t k = 0; k < width_; ++k) {
                    forward_.set_begun(0, k, from_left_ ? Weight{} : Weight{opened[k], opened[width_ + k]});
                }
                kernels_.open_row(pass, 0, opened, opened + width_, (from_left_ ? first_ : inner_).chunks());
            } else {
                if (kernels_.end_row(pass, row, suspect_.data())) {
                    repair_ends(place);
                }
                kernels_.change_row(pass, block, row, transitions.at(place), inner_.chunks());
            }
            kernels_.leave_row(pass, row);
        }
        for (row = rows; row < kBlockRows; ++row) {
            for (std::size_t k = 0; k < width_; ++k) {
                forward_.set_begun(block * kBlockRows + row, k, {});
            }
        }
        kernels_.seal(pass, block);
        if (block == 0) {
            for (std::size_t k = 0; k < states_; ++k) { // what began at place 0 must get beyond the block
                for (std::size_t t = 0; t < std::min(kBlockRows, frames_); ++t) {
                    opened[k] = impossible(t, k) ? 0.0 : opened[k];
                }
            }
        }
    }
    if (!transitions.within()) {
        return false;
    }
    find_evidence();
    return !evidence_.is_zero(); // else the log scores say why
}

// Changes at the place of a row of the backward pass.
void ForwardBackward::count_changes(std::size_t mirrored_block, std::size_t row, TransitionRows &transitions) {
    const std::size_t place = mirrored(mirrored_block * kBlockRows + row);
    const std::size_t after = ((mirrored_block & backward_.state().ring) * kBlockRows + row) * 2 * width_;
    kernels_.count_changes(forward_.state().ended + place * 2 * width_, backward_.state().ended + after, states_,
                           width_, transitions.at(place), changes_.data());
}

// The weight of all timelines: that of all ends at the last place.
void ForwardBackward::find_evidence() {
    evidence_ = {};
    for (std::size_t k = 0; k < states_; ++k) {
        Weight sum;
        for (std::size_t d = 1; d <= weights_.durations && !impossible(frames_ - d, k); ++d) {
            const bool whole = d == frames_;
            const Weight begun = whole ? initial(k) : forward_.begun(frames_ - d, k);
            sum += begun * Weight::of_log((whole ? weights_.whole(k) : weights_.last(k))[d - 1]);
        }
        const Weight ended = sum * product_at(frames_, k);
        evidence_ += ended;
        if (places_ != nullptr) {
            places_->ended[frames_ * states_ + k] = ended.log();
        }
    }
}

bool ForwardBackward::backward(Matrix<double> posteriors, ExpectedCounts &counts) {
    simd::Pass &pass = backward_.state();
    TransitionRows transitions(model_, width_, true);
    TransitionRows forward_transitions(model_, width_, false);
    share_ring_ = std::bit_ceil(chunks_ + 2) - 1;
    shares_.assign((share_ring_ + 1) * kBlockRows * width_, 0.0);
    std::size_t count_chunks = 0;
    if (with_counts_) {
        count_chunks = chunks_ * simd::kChunkRows * width_;
        counted_ = WorkBlock(count_chunks + kBlockRows * width_);
        std::fill_n(counted_.data(), count_chunks + kBlockRows * width_, 0.0);
        changes_.assign(states_ * width_, 0.0);
    }
    const std::size_t last_row = frames_ % kBlockRows;
    double *const opened = opening_.data();
    const simd::Opening opening{to_right_ ? opened : nullptr, opened + width_, kBlockRows - 1 - last_row};
    bool held = true;
    for (std::size_t m = 0; m < blocks_; ++m) {
        const std::size_t block = blocks_ - 1 - m;
        open_block(block, true);
        kernels_.bulk(pass, m, inner_.chunks(), last_.chunks(), opening);
        std::size_t row = 0;
        if (m > 0 && transitions.for_all_frames()) {
            row =
                kernels_.steps(pass, m, 0, block > 0 ? kBlockRows : kBlockRows - 1, transitions.at(1), inner_.chunks());
            for (std::size_t done = 0; done < row && with_counts_; ++done) {
                count_changes(m, done, forward_transitions);
            }
        }
        for (; row < kBlockRows; ++row) {
            const std::size_t place = mirrored(m * kBlockRows + row);
            if (place > frames_ || place == 0) {
                for (std::size_t k = 0; k < width_; ++k) {
                    backward_.set_begun(m * kBlockRows + row, k, {});
                }
                continue;
            }
            if (place == frames_) {
                for (std::size_t k = 0; k < width_; ++k) {
                    const Weight after = k < states_ ? product_at(place, k) * evidence_.inverse() : Weight{};
                    after_last_.push_back(after);
                    opened[k] = after.mantissa;
                    opened[width_ + k] = after.exponent;
                    backward_.set_begun(m * kBlockRows + row, k, to_right_ ? Weight{} : after);
                }
                if (to_right_) {
                    add_last_segments(counts);
                }
                kernels_.open_row(pass, row, opened, opened + width_, (to_right_ ? last_ : inner_).chunks());
            } else {
                if (kernels_.end_row(pass, row, suspect_.data())) {
                    repair_begins(place);
                }
                kernels_.change_row(pass, m, row, transitions.at(place), inner_.chunks());
                if (with_counts_) {
                    count_changes(m, row, forward_transitions);
                }
            }
            kernels_.leave_row(pass, row);
        }
        if (places_ != nullptr) {
            keep_places(m);
        }
        kernels_.seal(pass, m);
        if (m == 0) {
            for (std::size_t k = 0; k < states_; ++k) { // what ended at the last place must begin before the block
                const std::size_t start = block * kBlockRows;
                for (std::size_t t = start > 0 ? start - 1 : 0; t < frames_; ++t) {
                    opened[k] = impossible(t, k) ? 0.0 : opened[k];
                }
            }
        }
        held = held &&
               kernels_.spread(forward_.state(), pass, block, blocks_, inner_.chunks(), shares_.data(), share_ring_);
        if (with_counts_) {
            kernels_.count(forward_.state(), pass, block, blocks_, inner_.chunks(), counted_.data(),
                           counted_.data() + count_chunks);
        }
        if (!held || !transitions.within()) {
            return false;
        }
        if (block == 0 && (from_left_ || with_counts_)) {
            add_first_segments(counts);
        }
        if (block + chunks_ < blocks_) {
            finish_rows(block + chunks_, posteriors);
        }
    }
    for (std::size_t block = std::min(chunks_, blocks_); block-- > 0;) {
        finish_rows(block, posteriors);
    }
    if (with_counts_) {
        collect(counts);
    }
    return true;
}

// Segments that the end of the recording cuts off.
void ForwardBackward::add_last_segments(ExpectedCounts &counts) {
    const std::size_t longest = weights_.durations;
    last_rows_.assign(longest * states_, 0.0); // row i is frame T - longest + i
    for (std::size_t k = 0; k < states_; ++k) {
        for (std::size_t d = 1; d <= longest && !impossible(frames_ - d, k); ++d) {
            const bool whole = d == frames_;
            if (whole && from_left_) {
                break; // with the first segments
            }
            const Weight begun = whole ? initial(k) : forward_.begun(frames_ - d, k);
            const Weight weight = Weight::of_log((whole ? weights_.whole(k) : weights_.last(k))[d - 1]);
            const double share = (begun * weight * after_last_[k]).value();
            last_rows_[(longest - d) * states_ + k] = share;
            if (with_counts_) {
                counts.cut_right[k * model_.log_durations.cols + d - 1] = share;
            }
        }
        for (std::size_t row = 1; row < longest; ++row) {
            last_rows_[row * states_ + k] += last_rows_[(row - 1) * states_ + k];
        }
    }
}

// Segments that begin with the recording: their shares where they are cut off there, and the initial states.
void ForwardBackward::add_first_segments(ExpectedCounts &counts) {
    const std::size_t longest = weights_.durations;
    first_rows_.assign(from_left_ ? longest * states_ : 0, 0.0);
    for (std::size_t k = 0; k < states_; ++k) {
        double sum = 0.0;
        for (std::size_t d = 1; d <= longest && !impossible(d - 1, k); ++d) {
            const bool whole = d == frames_;
            const Weight weight = Weight::of_log((whole ? weights_.whole(k) : weights_.first(k))[d - 1]);
            const Weight after = whole ? after_last_[k] : backward_.begun(mirrored(d), k);
            const double share = (initial(k) * weight * after).value();
            sum += share;
            if (from_left_) {
                first_rows_[(d - 1) * states_ + k] = share;
            }
            if (with_counts_ && from_left_) {
                auto &table = whole && to_right_ ? counts.cut_both : counts.cut_left;
                table[k * model_.log_durations.cols + d - 1] = share;
            }
        }
        if (with_counts_) {
            counts.initial[k] = sum;
        }
        for (std::size_t row = longest; from_left_ && row-- > 1;) {
            first_rows_[(row - 1) * states_ + k] += first_rows_[row * states_ + k];
        }
    }
}

// Log weights of the places of a block, which is open in both passes.
void ForwardBackward::keep_places(std::size_t mirrored_block) {
    const auto log_of = [](double mantissa, double exponent) {
        return mantissa > 0.0 ? Weight{mantissa, exponent}.log() : kNever;
    };
    const simd::Pass &forward = forward_.state();
    const simd::Pass &backward = backward_.state();
    for (std::size_t row = 0; row < kBlockRows; ++row) {
        const std::size_t place = mirrored(mirrored_block * kBlockRows + row);
        if (place == 0 || place >= frames_) {
            continue;
        }
        const double *const ended = forward.ended + place * 2 * width_;
        const double *const follows =
            backward.ended + ((mirrored_block & backward.ring) * kBlockRows + row) * 2 * width_;
        for (std::size_t k = 0; k < states_; ++k) {
            const std::size_t at = place * states_ + k;
            const Weight product = product_at(place, k);
            const Weight begun = forward_.begun(place, k);
            const Weight after = backward_.begun(mirrored_block * kBlockRows + row, k);
            places_->begun[at] = log_of(begun.mantissa * product.mantissa, begun.exponent + product.exponent);
            places_->ended[at] = log_of(ended[k], ended[width_ + k]);
            places_->follows[at] = log_of(follows[k] * evidence_.mantissa, follows[width_ + k] + evidence_.exponent);
            places_->after[at] = log_of(after.mantissa * evidence_.mantissa / product.mantissa,
                                        after.exponent + evidence_.exponent - product.exponent);
        }
    }
    if (mirrored(mirrored_block * kBlockRows) >= kBlockRows) {
        return;
    }
    for (std::size_t k = 0; k < states_; ++k) { // of place 0, which the pass does not reach
        Weight sum;
        for (std::size_t d = 1; d <= weights_.durations && !impossible(d - 1, k); ++d) {
            const bool whole = d == frames_;
            const Weight after = whole ? after_last_[k] : backward_.begun(mirrored(d), k);
            sum += after * Weight::of_log((whole ? weights_.whole(k) : weights_.first(k))[d - 1]);
        }
        places_->begun[k] = model_.log_initial[k];
        places_->ended[k] = kNever;
        places_->follows[k] = (sum * evidence_).log();
        places_->after[k] = kNever;
        places_->after[frames_ * states_ + k] = 0.0;
    }
    places_->whole = evidence_.log();
}

// Writes the rows of a block that no segment can reach any more.
void ForwardBackward::finish_rows(std::size_t block, Matrix<double> posteriors) {
    const std::size_t start = block * kBlockRows;
    const std::size_t end = std::min(frames_, start + kBlockRows);
    const std::size_t last_begin = last_rows_.empty() ? frames_ : frames_ - weights_.durations;
    double *const rows = shares_.data() + (block & share_ring_) * kBlockRows * width_;
    for (std::size_t t = start; t < end; ++t) {
        for (std::size_t k = 0; k < states_ && t * states_ < first_rows_.size(); ++k) {
            rows[(t - start) * width_ + k] += first_rows_[t * states_ + k];
        }
        for (std::size_t k = 0; k < states_ && t >= last_begin; ++k) {
            rows[(t - start) * width_ + k] += last_rows_[(t - last_begin) * states_ + k];
        }
    }
    kernels_.finish(rows, end - start, states_, width_, posteriors.data + start * states_);
    std::fill_n(rows, kBlockRows * width_, 0.0);
}

void ForwardBackward::collect(ExpectedCounts &counts) const {
    const std::size_t columns = model_.log_durations.cols;
    const double *const near = counted_.data() + chunks_ * simd::kChunkRows * width_;
    for (std::size_t k = 0; k < states_; ++k) {
        for (std::size_t d = 1; d <= weights_.durations; ++d) {
            double sum = d < kBlockRows ? near[d * width_ + k] : 0.0;
            const std::size_t nearest = d / kBlockRows; // of the chunks that may have it
            for (std::size_t c = std::max<std::size_t>(nearest, 1); c <= std::min(nearest + 1, chunks_); ++c) {
                const std::size_t first = kBlockRows * c - (kBlockRows - 1);
                if (d >= first && d < first + 2 * kBlockRows - 1) {
                    sum += counted_.data()[((c - 1) * simd::kChunkRows + d - first) * width_ + k];
                }
            }
            counts.durations[k * columns + d - 1] = sum;
        }
        for (std::size_t to = 0; to < states_; ++to) {
            counts.transitions[k * states_ + to] = changes_[k * width_ + to];
        }
    }
}

} // namespace

std::optional<BlockResult> block_forward_backward(Matrix<const double> log_emissions, const HsmmModel &model,
                                                  Matrix<double> posteriors, bool with_counts, PlaceWeights *places) {
    BlockResult result;
    const std::size_t states = log_emissions.cols;
    if (with_counts) {
        result.counts = empty_counts(states, model.log_durations.cols);
    }
    ForwardBackward passes(log_emissions, model, with_counts, places);
    if (!passes.forward() || !passes.backward(posteriors, result.counts)) {
        return std::nullopt;
    }
    result.log_likelihood = result.counts.log_likelihood = passes.log_likelihood();
    return result;
}

} // namespace conv2d::detail
