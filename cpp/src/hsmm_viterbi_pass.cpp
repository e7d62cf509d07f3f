#include "hsmm_viterbi_pass.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>

namespace conv2d::detail {
namespace {

using simd::kViterbiBlock;
using simd::kViterbiCoarse;
using simd::kViterbiFine;
using simd::ViterbiGroup;

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

constexpr std::size_t kApart = 8; // doubles between rows, so that equal places do not share a cache set

constexpr std::size_t kByteStates = 256; // whose numbers fit a byte

constexpr std::size_t kPrunedFrom = 64; // durations; below, bounds cost more than they save

// Frames whose history is allocated at once while the length of the recording is not known.
constexpr std::size_t kChunkFrames = 1024;

std::size_t round_up(std::size_t value, std::size_t step) { return (value + step - 1) / step * step; }

// Hands out parts of one block of memory; first counts them, then gives them.
class Parts {
  public:
    explicit Parts(double *memory) : memory_(memory) {}
    double *operator()(std::size_t doubles, double fill) {
        double *part = memory_ == nullptr ? nullptr : memory_ + used_;
        if (part != nullptr) {
            std::fill_n(part, doubles, fill);
        }
        used_ += round_up(doubles, 8);
        return part;
    }
    [[nodiscard]] std::size_t used() const { return used_; }

  private:
    double *memory_;
    std::size_t used_ = 0;
};

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
      by_frame_(model.log_transitions.rows != states_), plain_(model.log_durations.cols == 1),
      kernels_(&simd::viterbi_kernels(simd_path())), first_scores_(model.log_initial.begin(), model.log_initial.end()),
      impossible_before_(states_, 0),
      chunk_frames_(frames ? round_up(std::max<std::size_t>(*frames, 1), kViterbiBlock) : kChunkFrames),
      shifts_(states_) {
    const bool pruned = window_ >= kPrunedFrom;
    // Room for the window, for places beside it that share its bounds, and for as many again, so that moving the
    // window back to the first rows is rare.
    const std::size_t needed = round_up(window_, kViterbiCoarse) + 2 * kViterbiCoarse;
    capacity_ = std::min(2 * needed, needed + round_up(frames.value_or(needed), kViterbiCoarse));
    block_.states = states_;
    block_.durations = window_;
    block_.limit = kFoldLimit;
    block_.pruned = pruned;
    for (std::size_t first = 0; first < states_; first += groups_.back().width) {
        groups_.push_back({});
        groups_.back().first = first;
        groups_.back().width = states_ - first > 4 ? 8 : 4;
        block_.padded = first + groups_.back().width;
    }
    const std::size_t padded = block_.padded;
    // Durations 1 - kViterbiBlock .. window + what a bound covers beyond it.
    const std::size_t rows = kViterbiBlock + 1 + window_ + kViterbiCoarse + 2 * kViterbiBlock;
    const std::size_t distances = (window_ + kViterbiCoarse) / kViterbiBlock + 3;
    const auto lay_out = [&](Parts parts) {
        transitions_ = parts((by_frame_ ? kViterbiBlock : 1) * states_ * padded, kNever);
        initial_ = parts(padded, kNever);
        block_.sums = parts(padded, 0.0);
        block_.ended = parts(padded, kNever);
        emissions_ = parts(kViterbiBlock * padded, 0.0);
        block_.written = parts(kViterbiBlock * padded, kNever);
        for (ViterbiGroup &group : groups_) {
            const std::size_t width = group.width;
            group.open = parts(capacity_ * width, kNever);
            group.weights = parts(rows * width, kNever);
            group.opening = parts((window_ + 1 + kViterbiBlock) * width, kNever);
            group.pending = parts(kViterbiBlock * width, kNever);
            group.initial = initial_ == nullptr ? nullptr : initial_ + group.first;
            group.turned_stride = capacity_ + kApart;
            group.turned = parts(width * group.turned_stride, kNever);
            group.zero = kViterbiCoarse + window_;
            group.backwards_stride = round_up(group.zero, 8) + kApart;
            group.backwards = parts(width * group.backwards_stride, kNever);
            if (pruned) {
                group.fine_max = parts(capacity_ / kViterbiFine * width, kNever);
                group.coarse_max = parts(capacity_ / kViterbiCoarse * width, kNever);
                group.fine_weight = parts(distances * width, kNever);
                group.coarse_weight = parts(distances * width, kNever);
            }
        }
        block_.bounds = parts(pruned ? capacity_ / kViterbiCoarse * 8 : 0, kNever);
        return parts.used();
    };
    tables_ = WorkBlock(lay_out(Parts(nullptr)));
    lay_out(Parts(tables_.data()));
    done_.resize(capacity_ / kViterbiCoarse);
    block_.done = done_.data();
    block_.emissions = emissions_;
    block_.groups = groups_.data();
    block_.groups_count = groups_.size();
    block_.transitions = transitions_;
    block_.transitions_step = by_frame_ ? states_ * padded : 0;
    fill_tables(model, distances);
}

void ViterbiPass::fill_tables(const HsmmModel &model, std::size_t distances) {
    for (std::size_t k = 0; k < states_ && plain_; ++k) {
        weighted_ = weighted_ || *weights_.inner(k) != 0.0;
    }
    std::copy(model.log_initial.begin(), model.log_initial.end(), initial_);
    for (std::size_t from = 0; from < states_ && !by_frame_; ++from) {
        std::copy_n(model.log_transitions.row(from).data(), states_, transitions_ + from * block_.padded);
    }
    for (ViterbiGroup &group : groups_) {
        const std::size_t width = group.width;
        auto *weights = const_cast<double *>(group.weights);
        auto *opening = const_cast<double *>(group.opening);
        auto *backwards = const_cast<double *>(group.backwards);
        for (std::size_t lane = 0; lane < width && group.first + lane < states_; ++lane) {
            const double *inner = weights_.inner(group.first + lane);
            const double *first = weights_.first(group.first + lane);
            for (std::size_t d = 1; d <= window_; ++d) {
                weights[(kViterbiBlock + d) * width + lane] = inner[d - 1];
                opening[d * width + lane] = first[d - 1];
            }
            std::reverse_copy(inner, inner + window_, backwards + lane * group.backwards_stride + kViterbiCoarse);
        }
        if (!block_.pruned) {
            continue;
        }
        // Largest of durations 8 y + 1 .. 8 y + 8; a bound over 16 places and 8 ends spans three of them.
        auto *fine = const_cast<double *>(group.fine_weight);
        auto *coarse = const_cast<double *>(group.coarse_weight);
        const auto raise = [&](double *to, const double *from) {
            for (std::size_t lane = 0; lane < width; ++lane) {
                to[lane] = std::max(to[lane], from[lane]);
            }
        };
        const std::size_t eighths = kViterbiCoarse / kViterbiBlock;
        for (std::size_t y = 0; y < distances; ++y) {
            for (std::size_t d = 8 * y + 1; d <= std::min(8 * y + 8, window_); ++d) {
                raise(coarse + y * width, weights + (kViterbiBlock + d) * width);
            }
        }
        for (std::size_t x = 0; x < distances; ++x) {
            for (std::size_t back = 0; back <= kViterbiFine / kViterbiBlock && back <= x; ++back) {
                raise(fine + x * width, coarse + (x - back) * width);
            }
        }
        for (std::size_t x = distances; x-- > 0;) {
            std::fill_n(coarse + x * width, width, kNever);
            for (std::size_t back = 0; back < eighths && back <= x; back += kViterbiFine / kViterbiBlock) {
                raise(coarse + x * width, fine + (x - back) * width);
            }
        }
    }
}

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

ViterbiPass::Chunk ViterbiPass::new_chunk() const {
    const std::size_t places = plain_ ? 0 : block_.padded * places_stride();
    const std::size_t ends = chunk_frames_ * block_.padded;
    const std::size_t origins = by_frame_ ? round_up(chunk_frames_ * states_, 2) / 2 : 0;
    const std::size_t bytes = plain_ ? round_up(chunk_frames_ * block_.padded, 8) / 8 : 0;
    Chunk chunk{WorkBlock(places + ends + bytes + origins), nullptr, nullptr, nullptr, nullptr};
    chunk.places = chunk.memory.data();
    chunk.ends = chunk.places + places;
    chunk.bytes = reinterpret_cast<unsigned char *>(chunk.ends + ends);
    chunk.origins = reinterpret_cast<std::uint32_t *>(chunk.ends + ends + bytes);
    return chunk;
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
        }
        rows_begin_ = kept;
    }
    if (start >= chunks_begin_ + chunks_.size() * chunk_frames_) {
        chunks_.push_back(new_chunk());
    }
    block_.start = start - rows_begin_;
    block_.passed = rows_begin_;
    if (plain_) {
        block_.origins = chunk_of(start).bytes + (start - chunks_begin_) % chunk_frames_ * block_.padded;
    } else {
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
        std::fill_n(block_.origins, states_ <= kByteStates ? padded : 0, static_cast<unsigned char>(0));
        for (std::size_t k = 0; k < states_; ++k) {
            block_.ended[k] = first_scores_[k] + emissions_[k] + *weights_.first(k);
        }
        ++end_;
        ++from;
    }
    if (by_frame_ && states_ > kByteStates) {
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
        if (!(std::abs(block_.sums[k] + emissions[k]) <= kFoldLimit)) {
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
    bool possible = true; // whether all that was shifted was made impossible
    for (std::size_t k = 0; k < states_; ++k) {
        const double sum = block_.sums[k] + emissions_[r * padded + k];
        const bool within = std::abs(sum) <= kFoldLimit;
        block_.sums[k] = within ? sum : 0.0;
        if (!within) {
            shift(k, sum, end_ + 1);
            possible = possible && sum == kNever;
        }
    }
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
    for (std::size_t k = 0; k < states_; ++k) {
        shift(k, block_.sums[k] - whole, end_);
        block_.sums[k] = 0.0;
    }
    fresh_ = false;
    end_again(); // as it will be seen when looked at again
}

void ViterbiPass::shift(std::size_t state, double amount, std::size_t place) {
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
        return;
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
    const ViterbiGroup &group = groups_[state / 8];
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
    const ViterbiGroup &group = groups_[state / 8];
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
    if (plain_ && states_ <= kByteStates) {
        return chunk_of(place).bytes[(place - chunks_begin_) % chunk_frames_ * block_.padded + state];
    }
    if (by_frame_) {
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
    if (plain_ && chunks_.size() == 1 && states_ <= kByteStates) {
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

std::vector<std::byte> ViterbiPass::save() const {
    std::vector<std::byte> bytes;
    const std::uint64_t sizes[] = {states_, window_, kind(), end_, end_ - begin_};
    write(bytes, std::span<const std::uint64_t>(sizes));
    write(bytes, taken_);
    for (const double *row : {block_.sums, block_.ended, initial_}) {
        write(bytes, std::span<const double>(row, states_));
    }
    for (std::size_t place = end_ - (plain_ ? 0 : std::min(end_, window_)); place < end_; ++place) {
        for (const ViterbiGroup &group : groups_) {
            write(bytes, std::span<const double>(group.open + (place - rows_begin_) * group.width,
                                   std::min(group.width, states_ - group.first)));
        }
    }
    for (std::size_t place = begin_; place < end_; ++place) {
        for (std::size_t k = 0; k < states_ && !plain_; ++k) {
            write(bytes, *places_at(place, k));
        }
        write(bytes, std::span<const double>(ends_at(place), states_));
        if (plain_) {
            write(bytes, std::span<const unsigned char>(
                             chunk_of(place).bytes + (place - chunks_begin_) % chunk_frames_ * block_.padded, states_));
        }
        if (by_frame_) {
            write(bytes, std::span<const std::uint32_t>(
                             chunk_of(place).origins + (place - chunks_begin_) % chunk_frames_ * states_, states_));
        }
    }
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
    if (sizes[0] != states_ || sizes[1] != window_ || sizes[2] != kind() || sizes[4] > sizes[3] ||
        sizes[4] > bytes.size()) {
        throw_other_model();
    }
    const auto end = static_cast<std::size_t>(sizes[3]);
    const auto held = static_cast<std::size_t>(sizes[4]);
    const auto taken = reader.one<ExactSum>();
    const auto sums = reader.array<double>(states_);
    const auto ended = reader.array<double>(states_);
    const auto initial = reader.array<double>(states_);
    const std::size_t oldest = end - (plain_ ? 0 : std::min(end, window_));
    const auto open = reader.array<double>((end - oldest) * states_);
    const std::size_t first = (end - held) / kViterbiBlock * kViterbiBlock;
    std::deque<Chunk> chunks;
    for (std::size_t place = end - held; place < end; ++place) {
        if (place - first >= chunks.size() * chunk_frames_) {
            chunks.push_back(new_chunk());
        }
        const Chunk &chunk = chunks.back();
        const std::size_t row = (place - first) % chunk_frames_;
        const auto places = reader.array<double>(plain_ ? 0 : states_);
        for (std::size_t k = 0; k < places.size(); ++k) {
            chunk.places[k * places_stride() + row] = places[k];
        }
        std::fill_n(std::copy_n(reader.array<double>(states_).data(), states_, chunk.ends + row * block_.padded),
                    block_.padded - states_, kNever);
        if (plain_) {
            const auto origins = reader.array<unsigned char>(states_);
            if (std::any_of(origins.begin(), origins.end(), [&](unsigned char k) { return k >= states_; })) {
                throw_other_model();
            }
            std::copy_n(origins.data(), states_, chunk.bytes + row * block_.padded);
        }
        if (by_frame_) {
            const auto origins = reader.array<std::uint32_t>(states_);
            if (std::any_of(origins.begin(), origins.end(), [&](std::uint32_t k) { return k >= states_; })) {
                throw_other_model();
            }
            std::copy_n(origins.data(), states_, chunk.origins + row * states_);
        }
    }
    std::vector<std::vector<Shift>> shifts(states_);
    for (auto &one : shifts) {
        const auto count = reader.one<std::uint64_t>();
        for (std::uint64_t n = 0; n < count; ++n) {
            const auto place = static_cast<std::size_t>(reader.one<std::uint64_t>());
            one.push_back({place, reader.one<double>()});
        }
    }
    if (!reader.done()) {
        throw_other_model();
    }
    end_ = end;
    begin_ = end - held;
    taken_ = taken;
    std::copy(sums.begin(), sums.end(), block_.sums);
    std::copy(ended.begin(), ended.end(), block_.ended);
    std::copy(initial.begin(), initial.end(), initial_);
    chunks_ = std::move(chunks);
    chunks_begin_ = first;
    shifts_ = std::move(shifts);
    impossible_before_.assign(states_, 0);
    fresh_ = false;
    rows_begin_ = oldest / kViterbiCoarse * kViterbiCoarse;
    // The places of a block that is under way will be turned once more.
    block_.moved = true;
    for (std::size_t place = std::max(begin_, end / kViterbiBlock * kViterbiBlock); place < end && !plain_; ++place) {
        for (std::size_t k = 0; k < states_; ++k) {
            block_.written[place % kViterbiBlock * block_.padded + k] = *places_at(place, k);
        }
    }
    for (const ViterbiGroup &group : groups_) {
        const std::size_t width = group.width;
        std::fill_n(group.open, (end - rows_begin_) * width, kNever);
        for (std::size_t place = oldest; place < end; ++place) {
            std::copy_n(open.data() + (place - oldest) * states_ + group.first, std::min(width, states_ - group.first),
                        group.open + (place - rows_begin_) * width);
        }
        for (std::size_t row = 0; row < end - rows_begin_; ++row) {
            for (std::size_t lane = 0; lane < width; ++lane) {
                group.turned[lane * group.turned_stride + row] = group.open[row * width + lane];
            }
        }
        for (std::size_t row = 0; block_.pruned && row < end - rows_begin_; ++row) {
            const auto raise = [&](double *bounds, std::size_t each) {
                for (std::size_t lane = 0; lane < width; ++lane) {
                    double &bound = bounds[row / each * width + lane];
                    const double score = group.open[row * width + lane];
                    bound = row % each == 0 ? score : std::max(bound, score);
                }
            };
            raise(group.fine_max, kViterbiFine);
            raise(group.coarse_max, kViterbiCoarse);
        }
    }
}

} // namespace conv2d::detail
