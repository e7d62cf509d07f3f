#include "hsmm_viterbi_pass.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace conv2d::detail {
namespace {

using simd::kViterbiBlock;
using simd::kViterbiCoarse;
using simd::kViterbiFine;
using simd::ViterbiGroup;

// Every so many frames all sums are added to the places, and a whole number is taken from all scores: they stay small
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

constexpr std::size_t kPrunedFrom = 64;  // durations; below, bounds cost more than they save
constexpr std::size_t kSlopedFrom = 512; // and those by slope

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
            std::fill_n(part, round_up(doubles, 8), fill); // whole vectors may be read
        }
        used_ += round_up(doubles, 8);
        return part;
    }
    [[nodiscard]] std::size_t used() const { return used_; }

  private:
    double *memory_;
    std::size_t used_ = 0;
};

// The line over the durations between the places of a fine bound and the ends of a block that starts `distance` blocks
// after its first place.
void fill_slope(ViterbiGroup &group, std::size_t distance, std::size_t durations) {
    const std::size_t width = group.width;
    const std::size_t longest = std::min(kViterbiBlock * (distance + 1), durations);
    const std::size_t before = kViterbiBlock * distance + 1;
    const std::size_t shortest = before > kViterbiFine ? before - (kViterbiFine - 1) : 1;
    if (shortest > longest) {
        return;
    }
    const double *weights = group.weights + kViterbiBlock * width;
    const double middle = static_cast<double>(before) - 0.5 * (kViterbiFine - kViterbiBlock);
    const auto span = static_cast<double>(std::max<std::size_t>(longest - shortest, 1));
    auto *heights = const_cast<double *>(group.weight_height) + distance * width;
    auto *slopes = const_cast<double *>(group.weight_slope) + distance * width;
    double largest[kViterbiBlock] = {};
    for (std::size_t lane = 0; lane < width; ++lane) {
        const double slope = (weights[longest * width + lane] - weights[shortest * width + lane]) / span;
        slopes[lane] = std::isfinite(slope) ? slope : 0.0;
    }
    for (std::size_t d = shortest; d <= longest; ++d) {
        const double away = static_cast<double>(d) - middle;
        for (std::size_t lane = 0; lane < width; ++lane) {
            const double weight = weights[d * width + lane];
            const double height = weight - slopes[lane] * away;
            const double magnitude = weight == kNever ? 0.0 : std::abs(weight);
            heights[lane] = height > heights[lane] ? height : heights[lane];
            largest[lane] = magnitude > largest[lane] ? magnitude : largest[lane];
        }
    }
    for (std::size_t lane = 0; lane < width; ++lane) {
        heights[lane] += simd::kViterbiSlopeMargin * largest[lane];
    }
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
    block_.limit = kLimit;
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
        most_ = parts(padded, kNever);
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
            if (window_ >= kSlopedFrom) {
                group.fine_height = parts(capacity_ / kViterbiFine * width, kNever);
                group.fine_slope = parts(capacity_ / kViterbiFine * width, 0.0);
                group.weight_height = parts(distances * width, kNever);
                group.weight_slope = parts(distances * width, 0.0);
            }
        }
        block_.bounds = parts(pruned ? capacity_ / kViterbiCoarse * 8 : 0, kNever);
        return parts.used();
    };
    tables_ = WorkBlock(lay_out(Parts(nullptr)));
    lay_out(Parts(tables_.data()));
    done_.resize(capacity_ / kViterbiCoarse);
    block_.done = done_.data();
    block_.listed_stride = pruned ? capacity_ / kViterbiFine : 0;
    listed_.resize(8 * block_.listed_stride);
    block_.listed = listed_.data();
    sources_.resize(states_ + 2);
    block_.sources = sources_.data();
    block_.rivals = sources_.data() + states_;
    block_.most = by_frame_ ? nullptr : most_;
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
        most_[from] = *std::max_element(model.log_transitions.row(from).begin(), model.log_transitions.row(from).end());
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
        for (std::size_t x = 0; x < distances && group.weight_height != nullptr; ++x) {
            fill_slope(group, x, window_);
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

ViterbiPass::Chunk ViterbiPass::new_chunk() const {
    const std::size_t places = plain_ ? 0 : block_.padded * places_stride();
    const std::size_t ends = chunk_frames_ * block_.padded;
    const std::size_t origins = keeps_origins() ? round_up(chunk_frames_ * states_, 2) / 2 : 0;
    const std::size_t bytes = keeps_bytes() ? round_up(chunk_frames_ * block_.padded, 8) / 8 : 0;
    Chunk chunk{WorkBlock(places + ends + bytes + origins), nullptr, nullptr, nullptr, nullptr};
    chunk.places = chunk.memory.data();
    chunk.ends = chunk.places + places;
    chunk.bytes = reinterpret_cast<unsigned char *>(chunk.ends + ends);
    chunk.origins = reinterpret_cast<std::uint32_t *>(chunk.ends + ends + bytes);
    return chunk;
}

} // namespace conv2d::detail
