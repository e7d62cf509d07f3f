#include "hsmm_viterbi_pass.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

namespace conv2d::detail {
namespace {

using simd::kViterbiBlock;
using simd::kViterbiCoarse;
using simd::kViterbiFine;
using simd::ViterbiGroup;

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
        if (keeps_bytes()) {
            write(bytes, std::span<const unsigned char>(
                             chunk_of(place).bytes + (place - chunks_begin_) % chunk_frames_ * block_.padded, states_));
        }
        if (keeps_origins()) {
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
        if (keeps_bytes()) {
            const auto origins = reader.array<unsigned char>(states_);
            if (std::any_of(origins.begin(), origins.end(), [&](unsigned char k) { return k >= states_; })) {
                throw_other_model();
            }
            std::copy_n(origins.data(), states_, chunk.bytes + row * block_.padded);
        }
        if (keeps_origins()) {
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
        if (group.fine_height != nullptr) {
            kernels_->slope(group, 0, (end - rows_begin_) / kViterbiFine);
        }
    }
}

} // namespace conv2d::detail
