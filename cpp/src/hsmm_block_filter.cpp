// The filter on weights. Beside the forward pass goes a second one, over what the first began: its durations are those
// of segments that the end of the frames so far cuts off.
#include "hsmm_block_passes.hpp"

#include "hsmm_forward.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <vector>

namespace conv2d::detail {
namespace {

using simd::kBlockRows;

class Filter {
  public:
    Filter(Matrix<const double> log_emissions, const HsmmModel &open)
        : log_emissions_(log_emissions), model_(open), frames_(log_emissions.rows), states_(log_emissions.cols),
          width_(padded(states_)), weights_(open, frames_), from_left_(open.censoring == Censoring::both),
          kernels_(simd::posterior_kernels(simd_path())), transitions_(open, width_, false),
          inner_(table([this](std::size_t k) { return weights_.inner(k); })),
          cut_(table([this](std::size_t k) { return weights_.last(k); })),
          first_(table([this](std::size_t k) { return weights_.first(k); })),
          whole_(table([this](std::size_t k) { return weights_.whole(k); })), chunks_(inner_.chunks().chunks),
          begun_(states_, width_, std::bit_ceil(chunks_ + 2), true, chunks_, false),
          open_(states_, width_, 1, false, chunks_, false), emissions_(width_), opening_(2 * width_), suspect_(width_),
          scores_(states_) {}

    [[nodiscard]] std::optional<double> run(Matrix<double> filtered);

  private:
    template <typename Table> [[nodiscard]] DurationTable table(Table &&scores) const {
        return {scores, states_, width_, weights_.durations};
    }
    [[nodiscard]] Weight initial(std::size_t state) const { return Weight::of_log(model_.log_initial[state]); }

    [[nodiscard]] bool open_block(std::size_t block);
    void begin_segments(std::size_t block);
    [[nodiscard]] bool end_segments(std::size_t block, Matrix<double> filtered);
    void repair(simd::Pass &pass, std::size_t place, bool cut);
    [[nodiscard]] bool write(std::size_t place, std::span<double> row);

    Matrix<const double> log_emissions_;
    const HsmmModel &model_;
    std::size_t frames_, states_, width_;
    SegmentWeights weights_;
    bool from_left_;
    const simd::PosteriorKernels &kernels_;
    TransitionRows transitions_;
    DurationTable inner_, cut_, first_, whole_; // of segments that begin and end within; end, begin, neither do
    std::size_t chunks_;
    BlockPass begun_, open_; // of the second only its block in work
    BlockEmissions emissions_;
    WorkBlock opening_;
    std::vector<double> suspect_, scores_;
    double offset_ = 0.0;
    Weight evidence_;
};

bool Filter::open_block(std::size_t block) {
    const std::size_t start = block * kBlockRows;
    const std::size_t frames = std::min(kBlockRows, frames_ - start);
    simd::EmissionRows rows{emissions_.row(0, 0),
                            emissions_.row(1, 0),
                            emissions_.row(2, 0),
                            emissions_.row(3, 0),
                            static_cast<std::ptrdiff_t>(width_),
                            false};
    std::array<double, kBlockRows> offsets{};
    const bool within = kernels_.emissions(log_emissions_.data + start * states_, frames, states_, width_,
                                           (frames_ - start) * states_, emissions_.product(), offsets.data(), rows);
    for (const double offset : offsets) {
        offset_ += offset;
    }
    simd::Pass &begun = begun_.state();
    simd::Pass &open = open_.state();
    open.ring = begun.ring;
    open.sources = begun.sources;
    open.source_top = begun.source_top;
    open.source_lossy = begun.source_lossy;
    open.barrier = begun.barrier;
    for (simd::Pass *const pass : {&begun, &open}) {
        pass->multiply = emissions_.row(0, 0);
        pass->divide = emissions_.row(1, 0);
        pass->exponent_rows = emissions_.row(2, 0);
        pass->possible = emissions_.row(3, 0);
        pass->sign = 1.0;
        pass->impossible = rows.impossible;
    }
    return within;
}

// The sums of ends that the kernels could not hold, term by term.
void Filter::repair(simd::Pass &pass, std::size_t place, bool cut) {
    for (std::size_t k = 0; k < states_; ++k) {
        if (suspect_[k] == 0.0) {
            continue;
        }
        Weight sum;
        for (std::size_t d = 1; d <= std::min(place, weights_.durations) && log_emissions_(place - d, k) != kNever;
             ++d) {
            const bool first = d == place;
            const double *const durations =
                first ? (cut ? weights_.whole(k) : weights_.first(k)) : (cut ? weights_.last(k) : weights_.inner(k));
            sum += (first ? initial(k) : begun_.begun(place - d, k)) * Weight::of_log(durations[d - 1]);
        }
        pass.ended_mantissa[k] = sum.mantissa;
        pass.ended_exponent[k] = sum.exponent;
    }
}

// The forward pass through a block.
void Filter::begin_segments(std::size_t block) {
    simd::Pass &pass = begun_.state();
    double *const opened = opening_.data();
    kernels_.bulk(pass, block, inner_.chunks(), first_.chunks(), {from_left_ ? opened : nullptr, opened + width_, 0});
    const std::size_t rows = std::min(kBlockRows, frames_ - block * kBlockRows);
    std::size_t row = 0;
    if (block > 0 && transitions_.for_all_frames()) {
        row = kernels_.steps(pass, block, 0, rows, transitions_.at(1), inner_.chunks());
    }
    for (; row < rows; ++row) {
        const std::size_t place = block * kBlockRows + row;
        if (place == 0) {
            for (std::size_t k = 0; k < width_; ++k) {
                begun_.set_begun(0, k, from_left_ ? Weight{} : Weight{opened[k], opened[width_ + k]});
            }
            kernels_.open_row(pass, 0, opened, opened + width_, (from_left_ ? first_ : inner_).chunks());
        } else {
            if (kernels_.end_row(pass, row, suspect_.data())) {
                repair(pass, place, false);
            }
            kernels_.change_row(pass, block, row, transitions_.at(place), inner_.chunks());
        }
        kernels_.leave_row(pass, row);
    }
    for (row = rows; row < kBlockRows; ++row) {
        for (std::size_t k = 0; k < width_; ++k) {
            begun_.set_begun(block * kBlockRows + row, k, {});
        }
    }
}

// The states of the frames before the places of a block. False when a frame has none.
bool Filter::end_segments(std::size_t block, Matrix<double> filtered) {
    simd::Pass &pass = open_.state();
    const simd::Pass &begun = begun_.state();
    double *const opened = opening_.data();
    kernels_.bulk(pass, block, cut_.chunks(), whole_.chunks(), {from_left_ ? opened : nullptr, opened + width_, 0});
    const std::size_t last = std::min(kBlockRows - 1, frames_ - block * kBlockRows);
    for (std::size_t row = 0; row <= last; ++row) {
        const std::size_t place = block * kBlockRows + row;
        if (place == 0) {
            kernels_.open_row(pass, 0, opened, opened + width_, (from_left_ ? whole_ : cut_).chunks());
        } else {
            if (kernels_.end_row(pass, row, suspect_.data())) {
                repair(pass, place, true);
            }
            if (!write(place, filtered.row(place - 1))) {
                return false;
            }
            const std::size_t at = ((block & begun.ring) * kBlockRows + row) * width_;
            kernels_.open_row(pass, row, begun.mantissa + at, begun.exponent + at, cut_.chunks());
        }
        kernels_.leave_row(pass, row);
    }
    return true;
}

bool Filter::write(std::size_t place, std::span<double> row) {
    const simd::Pass &pass = open_.state();
    const double *const product = emissions_.row(0, place % kBlockRows);
    const double *const exponents = emissions_.row(2, place % kBlockRows);
    double top = Weight::kNoExponent;
    for (std::size_t k = 0; k < states_; ++k) {
        row[k] = pass.ended_mantissa[k] * product[k];
        scores_[k] = row[k] > 0.0 ? pass.ended_exponent[k] + exponents[k] : Weight::kNoExponent;
        top = std::max(top, scores_[k]);
    }
    double sum = 0.0;
    for (std::size_t k = 0; k < states_; ++k) {
        const double below = std::max(scores_[k] - top, -1022.0); // smaller ones are next to nothing
        row[k] *= std::bit_cast<double>(static_cast<std::uint64_t>(below + 1023.0) << 52);
        sum += row[k];
    }
    if (!(sum > 0.0)) {
        return false;
    }
    if (place == frames_) {
        evidence_ = Weight{sum, 0.0} * Weight{1.0, top};
    }
    for (double &share : row) {
        share /= sum;
    }
    return true;
}

std::optional<double> Filter::run(Matrix<double> filtered) {
    if (!inner_.within() || !cut_.within() || !first_.within() || !whole_.within() || !transitions_.within() ||
        !initial_within(model_)) {
        return std::nullopt;
    }
    std::fill_n(emissions_.product(), width_, 1.0);
    std::fill_n(emissions_.product() + width_, width_, 0.0);
    double *const opened = opening_.data();
    for (std::size_t k = 0; k < width_; ++k) {
        const Weight begun = k < states_ ? initial(k) : Weight{};
        opened[k] = begun.mantissa;
        opened[width_ + k] = begun.exponent;
    }
    for (std::size_t block = 0; block <= frames_ / kBlockRows; ++block) {
        if (!open_block(block)) {
            return std::nullopt;
        }
        begin_segments(block);
        if (!transitions_.within() || !end_segments(block, filtered)) {
            return std::nullopt;
        }
        kernels_.seal(begun_.state(), block);
        for (std::size_t k = 0; k < states_ && block == 0; ++k) { // what began at place 0 must get beyond the block
            for (std::size_t t = 0; t < std::min(kBlockRows, frames_); ++t) {
                opened[k] = log_emissions_(t, k) == kNever ? 0.0 : opened[k];
            }
        }
    }
    return evidence_.log() + offset_;
}

} // namespace

std::optional<double> block_filter(Matrix<const double> log_emissions, const HsmmModel &open, Matrix<double> filtered) {
    return Filter(log_emissions, open).run(filtered);
}

} // namespace conv2d::detail
