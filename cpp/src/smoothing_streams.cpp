#include "conv2d/smoothing_streams.hpp"

#include "smoothing_hysteresis.hpp"
#include "smoothing_runs.hpp"
#include "smoothing_windows.hpp"

#include <bit>
#include <limits>
#include <stdexcept>
#include <type_traits>
#include <utility>

namespace conv2d {
namespace {

// Saved states: a kind and a version, then little-endian words of 64 bits.
constexpr std::string_view kWindowKind = "c2d-window-1 ";
constexpr std::string_view kDwellKind = "c2d-dwell-1  ";
constexpr std::string_view kSwitchKind = "c2d-switch-1 ";

void put(std::string &bytes, std::uint64_t word) {
    for (int i = 0; i < 8; ++i) {
        bytes.push_back(static_cast<char>(static_cast<unsigned char>(word >> 8 * i)));
    }
}

[[noreturn]] void refuse(const char *what) {
    throw std::invalid_argument(std::string("the saved state ") + what +
                                ", expected the bytes that a stream of this kind and dtype gave");
}

class Reader {
  public:
    Reader(std::string_view bytes, std::string_view kind) : bytes_(bytes) {
        if (!bytes.starts_with(kind)) {
            refuse("is of another kind");
        }
        bytes_.remove_prefix(kind.size());
        if (bytes_.size() % 8 != 0) {
            refuse("is cut off");
        }
    }

    std::uint64_t word() {
        if (bytes_.empty()) {
            refuse("is cut off");
        }
        std::uint64_t word = 0;
        for (std::size_t i = 8; i-- > 0;) {
            word = word << 8 | static_cast<unsigned char>(bytes_[i]);
        }
        bytes_.remove_prefix(8);
        return word;
    }

    template <typename Label> Label label() {
        const auto value = std::bit_cast<std::int64_t>(word());
        if (static_cast<std::int64_t>(static_cast<Label>(value)) != value) {
            refuse("holds a label beyond its dtype");
        }
        return static_cast<Label>(value);
    }

    [[nodiscard]] std::size_t words_left() const { return bytes_.size() / 8; }
    void expect_end() const {
        if (!bytes_.empty()) {
            refuse("goes on after its end");
        }
    }

  private:
    std::string_view bytes_;
};

template <typename Label> std::uint64_t as_word(Label label) {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(label));
}

template <typename Label> std::uint64_t dtype_of() { return (std::is_unsigned_v<Label> ? 256u : 0u) + sizeof(Label); }

} // namespace

// ---- windows
// ---------------------------------------------------------------------------------------------------------

template <typename Label> WindowStream<Label>::WindowStream(WindowStatistic statistic, std::int64_t width)
    : statistic_(statistic), width_(static_cast<std::uint64_t>(width)) {
    detail::check_width(width);
}

// Gives what stands at the samples up to `last` of those held.
template <typename Label> void WindowStream<Label>::filter(std::size_t last, std::vector<Label> &final) {
    const std::uint64_t begin = pushed_ - held_.size(); // of the held ones, within the recording
    const auto first = static_cast<std::size_t>(given_ - begin);
    if (last <= first) {
        return;
    }
    const simd::SmoothingKernels &kernels = simd::smoothing_kernels();
    const auto changes = simd::label_kernels<Label>(kernels).changes;
    const std::size_t before = final.size();
    final.resize(before + (last - first));
    detail::WindowScratch<Label> scratch;
    detail::filter_windows(kernels, statistic_, std::span<const Label>(held_), first, last, width_,
                           final.data() + before, scratch);
    // What was pushed is counted up to the sample given last, so that both counts are of the same stretch.
    const std::size_t inner = std::max<std::size_t>(first, 1);
    transitions_pushed_ += changes(held_.data() + inner, last - inner);
    transitions_given_ += changes(final.data() + before + 1, last - first - 1);
    transitions_given_ += given_ > 0 && final[before] != last_given_ ? 1 : 0;
    last_given_ = final.back();
    given_ += last - first;
}

template <typename Label> void WindowStream<Label>::push(std::span<const Label> labels, std::vector<Label> &final) {
    if (pushed_ == 0) {
        transitions_pushed_ = 0;
        transitions_given_ = 0;
    }
    held_.insert(held_.end(), labels.begin(), labels.end());
    pushed_ += labels.size();
    const std::uint64_t reach = width_ / 2;
    if (held_.size() > reach) {
        filter(held_.size() - static_cast<std::size_t>(reach), final);
    }
    if (held_.size() > 2 * reach + 1) { // one more than the next window sees, to know whether its sample is a change
        held_.erase(held_.begin(), held_.end() - static_cast<std::ptrdiff_t>(2 * reach + 1));
    }
}

template <typename Label> void WindowStream<Label>::flush(std::vector<Label> &final) {
    filter(held_.size(), final);
    held_.clear();
    pushed_ = 0;
    given_ = 0;
}

template <typename Label> std::string WindowStream<Label>::save() const {
    std::string bytes(kWindowKind);
    for (const std::uint64_t word :
         {dtype_of<Label>(), static_cast<std::uint64_t>(statistic_), width_, pushed_, given_, transitions_pushed_,
          transitions_given_, as_word(last_given_), static_cast<std::uint64_t>(held_.size())}) {
        put(bytes, word);
    }
    for (const Label label : held_) {
        put(bytes, as_word(label));
    }
    return bytes;
}

template <typename Label>
WindowStream<Label> WindowStream<Label>::restore(WindowStatistic statistic, std::string_view saved) {
    Reader reader(saved, kWindowKind);
    if (reader.word() != dtype_of<Label>()) {
        refuse("has labels of another dtype");
    }
    if (reader.word() != static_cast<std::uint64_t>(statistic)) {
        refuse("is that of another statistic");
    }
    const std::uint64_t width = reader.word();
    if (width % 2 == 0 || width > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        refuse("has a width that is no odd number");
    }
    WindowStream stream(statistic, static_cast<std::int64_t>(width));
    stream.pushed_ = reader.word();
    stream.given_ = reader.word();
    stream.transitions_pushed_ = reader.word();
    stream.transitions_given_ = reader.word();
    stream.last_given_ = reader.label<Label>();
    const std::uint64_t held = reader.word();
    const std::uint64_t reach = width / 2;
    const std::uint64_t most = stream.pushed_ < 2 * reach + 1 ? stream.pushed_ : 2 * reach + 1;
    const std::uint64_t given = stream.pushed_ > reach ? stream.pushed_ - reach : 0;
    if (held != reader.words_left() || held != most || stream.given_ != given) {
        refuse("has counts that do not fit together");
    }
    for (std::uint64_t i = 0; i < held; ++i) {
        stream.held_.push_back(reader.label<Label>());
    }
    return stream;
}

// ---- dwell
// -----------------------------------------------------------------------------------------------------------

namespace {

template <typename Label> auto appending_to(std::vector<Label> &final) {
    return [&final](Label label, std::uint64_t length) { final.insert(final.end(), length, label); };
}

} // namespace

template <typename Label> DwellStream<Label>::DwellStream(std::int64_t min_frames) {
    detail::check_min_frames(min_frames);
    queue_ = std::make_unique<detail::DwellQueue<Label>>(static_cast<std::uint64_t>(min_frames));
}

template <typename Label> DwellStream<Label>::DwellStream(DwellStream &&) noexcept = default;
template <typename Label> DwellStream<Label> &DwellStream<Label>::operator=(DwellStream &&) noexcept = default;
template <typename Label> DwellStream<Label>::~DwellStream() = default;

template <typename Label> void DwellStream<Label>::push(std::span<const Label> labels, std::vector<Label> &final) {
    if (!labels.empty()) {
        queue_->push(simd::smoothing_kernels(), labels.data(), labels.size());
        queue_->settle(true, appending_to(final));
    }
}

template <typename Label> void DwellStream<Label>::flush(std::vector<Label> &final) {
    queue_->finish(appending_to(final));
}

template <typename Label> std::int64_t DwellStream<Label>::min_frames() const {
    return static_cast<std::int64_t>(queue_->min_frames());
}

template <typename Label> std::uint64_t DwellStream<Label>::waiting() const { return queue_->waiting(); }

template <typename Label> std::size_t DwellStream<Label>::waiting_segments() const { return queue_->runs().size(); }

template <typename Label> std::string DwellStream<Label>::save() const {
    std::string bytes(kDwellKind);
    put(bytes, dtype_of<Label>());
    put(bytes, queue_->min_frames());
    put(bytes, queue_->written());
    for (const auto &run : queue_->runs()) {
        put(bytes, as_word(run.label));
        put(bytes, run.length);
    }
    return bytes;
}

template <typename Label> DwellStream<Label> DwellStream<Label>::restore(std::string_view saved) {
    Reader reader(saved, kDwellKind);
    if (reader.word() != dtype_of<Label>()) {
        refuse("has labels of another dtype");
    }
    const std::uint64_t min_frames = reader.word();
    const std::uint64_t written = reader.word();
    constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (min_frames < 1 || min_frames > kMost) {
        refuse("has a min_frames below 1");
    }
    std::vector<detail::Run<Label>> runs;
    std::uint64_t frames = 0;
    while (reader.words_left() > 0) {
        const Label label = reader.label<Label>();
        const std::uint64_t length = reader.word();
        if (length < 1 || length > kMost - frames || (!runs.empty() && runs.back().label == label)) {
            refuse("has segments that are none");
        }
        frames += length;
        runs.push_back({length, label});
    }
    if (written > frames || (!runs.empty() && written < runs.front().length)) {
        refuse("has counts that do not fit together");
    }
    DwellStream stream(static_cast<std::int64_t>(min_frames));
    *stream.queue_ = detail::DwellQueue<Label>(min_frames, written, std::move(runs));
    return stream;
}

#define CONV2D_FOR(Label)                                                                                              \
    template class WindowStream<Label>;                                                                                \
    template class DwellStream<Label>;
CONV2D_FOR(std::uint8_t)
CONV2D_FOR(std::int8_t)
CONV2D_FOR(std::int16_t)
CONV2D_FOR(std::int32_t)
CONV2D_FOR(std::int64_t)
#undef CONV2D_FOR

// ---- hysteresis
// ------------------------------------------------------------------------------------------------------

HysteresisStream::HysteresisStream(double enter, double exit) : enter_(enter), exit_(exit) {
    detail::check_thresholds(enter, exit);
}

void HysteresisStream::push(std::span<const double> p, std::span<bool> on) {
    on_ = detail::switch_states(p, enter_, exit_, on_, on);
}

void HysteresisStream::push(std::span<const float> p, std::span<bool> on) {
    on_ = detail::switch_states(p, enter_, exit_, on_, on);
}

std::string HysteresisStream::save() const {
    std::string bytes(kSwitchKind);
    put(bytes, std::bit_cast<std::uint64_t>(enter_));
    put(bytes, std::bit_cast<std::uint64_t>(exit_));
    put(bytes, on_ ? 1 : 0);
    return bytes;
}

HysteresisStream HysteresisStream::restore(std::string_view saved) {
    Reader reader(saved, kSwitchKind);
    const auto enter = std::bit_cast<double>(reader.word());
    const auto exit = std::bit_cast<double>(reader.word());
    const std::uint64_t on = reader.word();
    reader.expect_end();
    if (!(enter >= exit) || on > 1) {
        refuse("has thresholds or a switch that cannot be");
    }
    HysteresisStream stream(enter, exit);
    stream.on_ = on == 1;
    return stream;
}

} // namespace conv2d
