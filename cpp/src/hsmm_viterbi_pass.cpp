#include "hsmm_viterbi_pass.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace conv2d::detail {
namespace {

using simd::kViterbiBlock;
using simd::kViterbiCoarse;
using simd::kViterbiFine;
using simd::ViterbiGroup;

std::size_t round_up(std::size_t value, std::size_t step) { return (value + step - 1) / step * step; }

} // namespace

void ViterbiPass::push(Matrix<const double> log_emissions, Matrix<const double> log_transitions) {
    for (std::size_t t = 0; t < log_emissions.rows;) {
        const std::size_t r = end_ % kViterbiBlock;
        const std::size_t frames = std::min(kViterbiBlock - r, log_emissions.rows - t);
        make_room();
        double offsets[kViterbiBlock];
        if (!kernels_->center(log_emissions.row(t).data(), frames, states_, block_.padded,
                              emissions_ + r * block_.padded, offsets)) {
            check_emissions(log_emissions);
        }
        fetch_ahead(log_emissions, t + frames);
        if (by_frame_) {
            take_transitions({log_transitions.data + t * states_ * states_, frames * states_, states_}, r);
        }
        if (plain_) {
            take_plain(r, r + frames);
        } else {
            take(r, r + frames);
            if (r + frames == kViterbiBlock || t + frames == log_emissions.rows) {
                kernels_->turn(block_);
            }
        }
        for (std::size_t i = 0; i < frames; ++i) {
            taken_.add(offsets[i]);
        }
        if (end_ % rebase_every_ == 0) {
            rebase();
        }
        t += frames;
    }
}

// Asks for the memory that comes next: the places of each state lie apart, and a block of many states ends with a page.
void ViterbiPass::fetch_ahead(Matrix<const double> log_emissions, std::size_t frame) const {
    const std::size_t frames = std::min(kViterbiBlock, log_emissions.rows - frame);
    const double *next = log_emissions.data + frame * states_;
    for (std::size_t i = 0; i < frames * states_; i += 8) {
        __builtin_prefetch(next + i);
    }
    for (std::size_t k = 0; k < states_ && !plain_; ++k) {
        __builtin_prefetch(block_.places + k * block_.places_stride, 1);
    }
}

// Rows for the block that end_ lies in, in the groups and in the history.
void ViterbiPass::make_room() {
    const std::size_t start = end_ / kViterbiBlock * kViterbiBlock;
    if (plain_) {
        rows_begin_ = start; // no places are kept
    } else if (start - rows_begin_ + kViterbiBlock > capacity_) {
        const std::size_t kept = (start - std::min(start, window_)) / kViterbiCoarse * kViterbiCoarse;
        const std::size_t gone = kept - rows_begin_;
        for (ViterbiGroup &group : groups_) {
            const auto move = [&](double *rows, std::size_t each) {
                std::memmove(rows, rows + gone / each * group.width,
                             (round_up(start - kept, each) / each) * group.width * sizeof(double));
            };
            move(group.open, 1);
            for (std::size_t lane = 0; lane < group.width; ++lane) {
                double *row = group.turned + lane * group.turned_stride;
                std::memmove(row, row + gone, (start - kept) * sizeof(double));
            }
            if (block_.pruned) {
                move(group.fine_max, kViterbiFine);
                move(group.coarse_max, kViterbiCoarse);
            }
            if (group.fine_height != nullptr) {
                move(group.fine_height, kViterbiFine);
                move(group.fine_slope, kViterbiFine);
            }
        }
        rows_begin_ = kept;
    }
    if (start >= chunks_begin_ + chunks_.size() * chunk_frames_) {
        chunks_.push_back(new_chunk());
    }
    block_.start = start - rows_begin_;
    block_.passed = rows_begin_;
    if (keeps_bytes()) {
        block_.origins = chunk_of(start).bytes + (start - chunks_begin_) % chunk_frames_ * block_.padded;
    }
    if (!plain_) {
        block_.places = places_at(start, 0);
    }
    block_.places_stride = places_stride();
    block_.ends = ends_at(start);
    if (end_ == start) {
        fresh_ = false;
        block_.moved = false;
    }
}

void ViterbiPass::take_transitions(Matrix<const double> log_transitions, std::size_t r) {
    if (!kernels_->valid(log_transitions.data, log_transitions.rows * states_)) {
        check_transitions(log_transitions);
    }
    for (std::size_t row = 0; row < log_transitions.rows; ++row) {
        std::copy_n(log_transitions.row(row).data(), states_, transitions_ + (r * states_ + row) * block_.padded);
    }
}

// Frames from .. to - 1 of the block.
void ViterbiPass::take(std::size_t from, std::size_t to) {
    for (std::size_t r = from; r < to;) {
        if (end_ == 0 || (!fresh_ && r > 0 && leaves_limit(r))) {
            take_slowly(r, false);
            ++r;
            continue;
        }
        if (!fresh_) {
            for (const ViterbiGroup &group : groups_) {
                kernels_->gather(block_, group);
                for (std::size_t before = 0; before < r; ++before) {
                    kernels_->relax(block_, group, before);
                }
            }
            fresh_ = true;
        }
        const std::size_t stop = by_frame_ ? advance_by_frame(r, to) : kernels_->advance(block_, r, to);
        end_ += stop - r;
        r = stop;
        if (r < to) {
            take_slowly(r, true);
            ++r;
        }
    }
}

void ViterbiPass::take_plain(std::size_t from, std::size_t to) {
    const std::size_t padded = block_.padded;
    for (std::size_t r = from; r < to && weighted_; ++r) {
        if (end_ == 0 && r == 0) {
            continue; // the first segment has a weight of its own
        }
        for (std::size_t k = 0; k < states_; ++k) {
            emissions_[r * padded + k] += *weights_.inner(k);
        }
    }
    if (end_ == 0) {
        std::fill_n(block_.ends, padded, kNever);
        std::fill_n(block_.origins, keeps_bytes() ? padded : 0, static_cast<unsigned char>(0));
        for (std::size_t k = 0; k < states_; ++k) {
            block_.ended[k] = first_scores_[k] + emissions_[k] + *weights_.first(k);
        }
        ++end_;
        ++from;
    }
    if (keeps_origins()) {
        for (std::size_t r = from; r < to; ++r, ++end_) {
            kernels_->advance_plain(block_, r, r + 1);
            keep_origins(r);
        }
        return;
    }
    kernels_->advance_plain(block_, from, to);
    end_ += to - from;
}

// The states before are found at once where the matrix will be gone later.
std::size_t ViterbiPass::advance_by_frame(std::size_t from, std::size_t to) {
    for (std::size_t r = from; r < to; ++r) {
        const bool stopped = kernels_->advance(block_, r, r + 1) == r;
        keep_origins(r);
        if (stopped) {
            return r;
        }
    }
    return to;
}

void ViterbiPass::keep_origins(std::size_t r) {
    const std::size_t place = rows_begin_ + block_.start + r;
    std::uint32_t *origins = chunk_of(place).origins + (place - chunks_begin_) % chunk_frames_ * states_;
    for (std::size_t k = 0; k < states_; ++k) {
        origins[k] =
            static_cast<std::uint32_t>(best_origin(ends_at(place), transitions_ + r * block_.transitions_step, k));
    }
}

bool ViterbiPass::leaves_limit(std::size_t r) const {
    const double *emissions = emissions_ + r * block_.padded;
    for (std::size_t k = 0; k < states_; ++k) {
        if (!(std::abs(block_.sums[k] + emissions[k]) <= kLimit)) {
            return true;
        }
    }
    return false;
}

// One frame with all that may happen in it: the first one, and those that take a sum beyond the limit.
void ViterbiPass::take_slowly(std::size_t r, bool entered) {
    const std::size_t padded = block_.padded;
    if (end_ == 0) {
        // Place 0 has weights of its own and stands apart from the others.
        for (const ViterbiGroup &group : groups_) {
            std::fill_n(group.open, group.width, kNever);
            if (block_.pruned) {
                std::fill_n(group.fine_max, group.width, kNever);
                std::fill_n(group.coarse_max, group.width, kNever);
            }
        }
        std::fill_n(block_.written, padded, kNever);
        std::fill_n(block_.ends, padded, kNever);
        if (by_frame_) {
            std::fill_n(chunks_.front().origins, states_, 0u);
        }
    } else if (!entered) {
        kernels_->enter(block_, r);
        if (by_frame_) {
            keep_origins(r);
        }
    }
    std::size_t changed = capacity_;
    bool possible = true; // whether all that was shifted was made impossible
    for (std::size_t k = 0; k < states_; ++k) {
        const double sum = block_.sums[k] + emissions_[r * padded + k];
        const bool within = std::abs(sum) <= kLimit;
        block_.sums[k] = within ? sum : 0.0;
        if (!within) {
            changed = std::min(changed, shift(k, sum, end_ + 1));
            possible = possible && sum == kNever;
        }
    }
    slope_again(changed, end_ + 1);
    ++end_;
    if (fresh_ && possible) {
        // What was seen for the states that remain still holds, and for the others it was cleared.
        for (const ViterbiGroup &group : groups_) {
            kernels_->relax(block_, group, r);
            for (std::size_t lane = 0; lane < group.width; ++lane) {
                const std::size_t k = group.first + lane;
                block_.ended[k] = block_.sums[k] + group.pending[r * group.width + lane];
            }
        }
        return;
    }
    fresh_ = false;
    end_again();
}

// ended() at end_ from all places before it.
void ViterbiPass::end_again() {
    const std::size_t oldest = std::max<std::size_t>(end_ - std::min(end_, window_), rows_begin_);
    for (const ViterbiGroup &group : groups_) {
        const std::size_t width = group.width;
        double best[8];
        for (std::size_t lane = 0; lane < width; ++lane) {
            best[lane] = end_ <= window_ ? group.initial[lane] + group.opening[end_ * width + lane] : kNever;
        }
        for (std::size_t place = oldest; place < end_; ++place) {
            const double *open = group.open + (place - rows_begin_) * width;
            const double *weight = group.weights + (kViterbiBlock + end_ - place) * width;
            for (std::size_t lane = 0; lane < width; ++lane) {
                const double score = open[lane] + weight[lane];
                best[lane] = score > best[lane] ? score : best[lane];
            }
        }
        for (std::size_t lane = 0; lane < width; ++lane) {
            block_.ended[group.first + lane] = block_.sums[group.first + lane] + best[lane];
        }
    }
}

void ViterbiPass::rebase() {
    const double largest = *std::max_element(block_.ended, block_.ended + states_);
    const double whole = largest == kNever ? 0.0 : std::rint(largest);
    taken_.add(whole);
    for (std::size_t k = 0; k < states_ && plain_; ++k) {
        block_.ended[k] -= whole;
    }
    if (plain_) {
        return;
    }
    std::size_t changed = capacity_;
    for (std::size_t k = 0; k < states_; ++k) {
        changed = std::min(changed, shift(k, block_.sums[k] - whole, end_));
        block_.sums[k] = 0.0;
    }
    slope_again(changed, end_);
    fresh_ = false;
    end_again(); // as it will be seen when looked at again
}

// Bounds by slope of the places from `row` on to `place`.
void ViterbiPass::slope_again(std::size_t row, std::size_t place) {
    for (std::size_t g = 0; g < groups_.size() && groups_[g].fine_height != nullptr; ++g) {
        kernels_->slope(groups_[g], row / kViterbiFine, round_up(place - rows_begin_, kViterbiFine) / kViterbiFine);
    }
}

// Returns the first row that it changes.
std::size_t ViterbiPass::shift(std::size_t state, double amount, std::size_t place) {
    const ViterbiGroup &group = groups_[state / 8]; // all but the last are of 8 states
    const std::size_t width = group.width;
    const std::size_t lane = state - group.first;
    initial_[state] += amount;
    block_.moved = true;
    const std::size_t oldest = place > window_ ? place - window_ : 0;
    const std::size_t from = std::max({oldest, rows_begin_, impossible_before_[state]}) - rows_begin_;
    const std::size_t to = place - rows_begin_;
    const auto add = [&](double *rows, std::size_t each) {
        for (std::size_t row = from / each; row * each < to; ++row) {
            rows[row * width + lane] += amount;
        }
    };
    add(group.open, 1);
    double *turned = group.turned + lane * group.turned_stride;
    for (std::size_t row = from; row < to; ++row) {
        turned[row] += amount;
    }
    if (block_.pruned) { // rounding keeps the order, so the largest moves as they do
        add(group.fine_max, kViterbiFine);
        add(group.coarse_max, kViterbiCoarse);
    }
    std::vector<Shift> &shifts = shifts_[state];
    if (amount != kNever) {
        shifts.push_back({place, amount});
        return from;
    }
    impossible_before_[state] = place;
    for (std::size_t r = 0; r < kViterbiBlock; ++r) {
        group.pending[r * width + lane] = kNever;
    }
    // Between two impossible frames in a row no segment ends: the second alone says it all.
    if (!shifts.empty() && shifts.back().amount == kNever && shifts.back().place + 1 == place) {
        shifts.back().place = place;
    } else {
        shifts.push_back({place, amount});
    }
    return from;
}

void ViterbiPass::forget_before(std::size_t place) {
    begin_ = std::max(begin_, std::min(place, end_));
    while (chunks_.size() > 1 && chunks_begin_ + chunk_frames_ <= begin_) {
        chunks_.pop_front();
        chunks_begin_ += chunk_frames_;
    }
    for (auto &shifts : shifts_) {
        const auto kept =
            std::find_if(shifts.begin(), shifts.end(), [&](const Shift &one) { return one.place > begin_; });
        shifts.erase(shifts.begin(), kept);
    }
}

} // namespace conv2d::detail
