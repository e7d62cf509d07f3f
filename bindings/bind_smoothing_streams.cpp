#include "labels.hpp"

#include "conv2d/smoothing_streams.hpp"

#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>

namespace conv2d::bindings {
namespace {

// The C++ stream for each dtype: which one it is tells the first push.
template <typename Stored, WindowStatistic statistic> struct Window {
    using Dtype = Stored;
    WindowStream<LabelOf<Stored>> stream;
    explicit Window(std::int64_t width) : stream(statistic, width) {}
    explicit Window(std::string_view saved) : stream(WindowStream<LabelOf<Stored>>::restore(statistic, saved)) {}
    [[nodiscard]] std::int64_t parameter() const { return stream.width(); }
};
template <typename Stored> using Mode = Window<Stored, WindowStatistic::mode>;
template <typename Stored> using Median = Window<Stored, WindowStatistic::median>;
template <typename Stored> struct Dwell {
    using Dtype = Stored;
    DwellStream<LabelOf<Stored>> stream;
    explicit Dwell(std::int64_t min_frames) : stream(min_frames) {}
    explicit Dwell(std::string_view saved) : stream(DwellStream<LabelOf<Stored>>::restore(saved)) {}
    [[nodiscard]] std::int64_t parameter() const { return stream.min_frames(); }
};

template <template <typename> class Stream> class LabelStream {
  public:
    LabelStream(const py::object &parameter, const char *name) : name_(name) {
        parameter_ = require_integer(parameter, name);
        static_cast<void>(Stream<bool>(parameter_)); // refuses what is out of range
    }

    py::array push(const py::object &labels) {
        const py::array given = require_labels(labels, 1, "(T,)");
        return with_label_type(given, [&](auto stored) -> py::array {
            using Stored = decltype(stored);
            const Contiguous<Stored> array(given);
            const std::span<const LabelOf<Stored>> from{label_data(array), static_cast<std::size_t>(array.size())};
            std::vector<LabelOf<Stored>> final;
            bool other = false;
            {
                const py::gil_scoped_release unlocked;
                const std::lock_guard one_at_a_time(busy_);
                if (ended_ && !std::holds_alternative<Stream<Stored>>(streams_)) {
                    streams_.template emplace<Stream<Stored>>(parameter_);
                }
                auto *const stream = std::get_if<Stream<Stored>>(&streams_);
                other = stream == nullptr;
                if (!other) {
                    ended_ = false;
                    stream->stream.push(from, final);
                }
            }
            if (other) {
                throw py::type_error(
                    "labels has dtype " + std::string(py::str(given.dtype())) +
                    ", expected that of the first labels pushed; flush() before labels of another kind");
            }
            return as_array<Stored>(final);
        });
    }

    py::array flush() {
        py::array rest = Contiguous<std::int64_t>(0);
        const py::gil_scoped_release unlocked;
        const std::lock_guard one_at_a_time(busy_);
        std::visit(
            [&rest](auto &typed) {
                if constexpr (!std::is_same_v<std::decay_t<decltype(typed)>, std::monostate>) {
                    using Stored = typename std::decay_t<decltype(typed)>::Dtype;
                    std::vector<LabelOf<Stored>> final;
                    typed.stream.flush(final);
                    const py::gil_scoped_acquire locked; // nobody who holds it waits for this stream
                    rest = as_array<Stored>(final);
                }
            },
            streams_);
        ended_ = true;
        return rest;
    }

    std::uint64_t waiting() {
        return ask([](auto &stream) { return stream.stream.waiting(); }, std::uint64_t{0});
    }

    bool gained() {
        return ask([](auto &stream) { return !stream.stream.no_gain(); }, false);
    }

    py::bytes save() {
        std::string bytes;
        {
            const py::gil_scoped_release unlocked;
            const std::lock_guard one_at_a_time(busy_);
            bytes = std::visit(
                [this](auto &stream) -> std::string {
                    if constexpr (std::is_same_v<std::decay_t<decltype(stream)>, std::monostate>) {
                        return "-";
                    } else {
                        return ended_ ? "-" : kCodes[streams_.index()] + stream.stream.save();
                    }
                },
                streams_);
        }
        return py::bytes(bytes);
    }

    void restore(const py::bytes &saved) {
        const std::string bytes = saved;
        const py::gil_scoped_release unlocked;
        const std::lock_guard one_at_a_time(busy_);
        const std::size_t kind = bytes.empty() ? std::string_view::npos : kCodes.find(bytes[0]);
        const std::string_view rest = std::string_view(bytes).substr(bytes.empty() ? 0 : 1);
        switch (kind) {
        case 0:
            streams_.template emplace<std::monostate>();
            ended_ = true;
            return;
        case 1:
            return take<bool>(rest);
        case 2:
            return take<std::uint8_t>(rest);
        case 3:
            return take<std::int8_t>(rest);
        case 4:
            return take<std::int16_t>(rest);
        case 5:
            return take<std::int32_t>(rest);
        case 6:
            return take<std::int64_t>(rest);
        default:
            throw std::invalid_argument("the saved state is of another kind, expected the bytes that save() gave");
        }
    }

  private:
    template <typename Stored> static py::array as_array(const std::vector<LabelOf<Stored>> &labels) {
        Contiguous<Stored> array(static_cast<py::ssize_t>(labels.size()));
        if (!labels.empty()) {
            std::memcpy(array.mutable_data(), labels.data(), labels.size() * sizeof(Stored));
        }
        return array;
    }

    template <typename Ask, typename Answer> Answer ask(Ask question, Answer none) {
        const py::gil_scoped_release unlocked;
        const std::lock_guard one_at_a_time(busy_);
        return std::visit(
            [&](auto &stream) -> Answer {
                if constexpr (std::is_same_v<std::decay_t<decltype(stream)>, std::monostate>) {
                    return none;
                } else {
                    return question(stream);
                }
            },
            streams_);
    }

    template <typename Stored> void take(std::string_view saved) {
        Stream<Stored> stream(saved);
        if (stream.parameter() != parameter_) {
            throw std::invalid_argument("the saved state has a " + std::string(name_) + " of " +
                                        std::to_string(stream.parameter()) + ", expected " +
                                        std::to_string(parameter_) + " as in this stream");
        }
        streams_ = std::move(stream);
        ended_ = false;
    }

    static constexpr std::string_view kCodes = "-?Bbhiq"; // in the order of the variant
    std::mutex busy_;
    const char *name_;
    std::int64_t parameter_;
    bool ended_ = true; // no recording has begun, or it was flushed
    std::variant<std::monostate, Stream<bool>, Stream<std::uint8_t>, Stream<std::int8_t>, Stream<std::int16_t>,
                 Stream<std::int32_t>, Stream<std::int64_t>>
        streams_;
};

class Switch {
  public:
    Switch(const py::object &enter, const py::object &exit)
        : stream_(require_real(enter, "enter"), require_real(exit, "exit")) {}

    py::array push(const py::object &p) {
        const py::array array = require_array(p, "p", "fiu", "real numbers");
        require_dimensions(array, "p", 1, "(T,)");
        Contiguous<bool> on(array.shape(0));
        if (array.dtype().kind() == 'f' && array.dtype().itemsize() == 4) {
            push_as(Contiguous<float>(array), on);
        } else {
            push_as(Contiguous<double>(array), on);
        }
        return on;
    }

    void flush() {
        const py::gil_scoped_release unlocked;
        const std::lock_guard one_at_a_time(busy_);
        stream_.flush();
    }

    bool on() {
        const py::gil_scoped_release unlocked;
        const std::lock_guard one_at_a_time(busy_);
        return stream_.on();
    }

    py::bytes save() {
        std::string bytes;
        {
            const py::gil_scoped_release unlocked;
            const std::lock_guard one_at_a_time(busy_);
            bytes = stream_.save();
        }
        return py::bytes(bytes);
    }

    void restore(const py::bytes &saved) {
        const std::string bytes = saved;
        const py::gil_scoped_release unlocked;
        const HysteresisStream stream = HysteresisStream::restore(bytes);
        const std::lock_guard one_at_a_time(busy_);
        if (stream.enter() != stream_.enter() || stream.exit() != stream_.exit()) {
            throw std::invalid_argument("the saved state has other thresholds, expected those of this stream");
        }
        stream_ = stream;
    }

  private:
    template <typename Real> void push_as(const Contiguous<Real> &p, Contiguous<bool> &on) {
        const auto from = vector(p);
        const auto to = mutable_vector(on);
        const py::gil_scoped_release unlocked;
        const std::lock_guard one_at_a_time(busy_);
        stream_.push(from, to);
    }

    std::mutex busy_;
    HysteresisStream stream_;
};

constexpr const char *kPush = R"(Labels that can no longer change, in order; (T,) labels of one dtype for a recording.

Returns an array of that dtype, of any length from 0. Raises TypeError on another dtype, ValueError on another shape.
)";
constexpr const char *kFlush = R"(The labels still waiting: ends the recording; the next push begins another one.)";
constexpr const char *kWaiting = "Samples pushed and not yet given back.";
constexpr const char *kSave =
    R"(Everything that is needed to go on, as bytes: the same on every machine and SIMD path.)";
constexpr const char *kRestore = R"(Goes on from what save() gave, on a stream with the same parameters.

Raises ValueError, with the stream unchanged, on bytes that are no such state.
)";

template <template <typename> class Stream> py::class_<LabelStream<Stream>>
bind_labels(py::module_ &module, const char *name, const char *parameter, const char *text) {
    using Self = LabelStream<Stream>;
    return py::class_<Self>(module, name, text)
        .def(py::init([parameter](const py::object &value) { return std::make_unique<Self>(value, parameter); }),
             py::arg(parameter))
        .def("push", &Self::push, py::arg("labels"), kPush)
        .def("flush", &Self::flush, kFlush)
        .def_property_readonly("waiting", &Self::waiting, kWaiting)
        .def("save", &Self::save, kSave)
        .def("restore", &Self::restore, py::arg("state"), kRestore);
}

constexpr const char *kGained =
    R"(Whether the labels given back so far change more often than what was pushed up to them.

Only then does the whole-array filter give something else.
)";

} // namespace

void bind_smoothing_streams(py::module_ &module) {
    bind_labels<Mode>(module, "ModeStream", "width", R"(`mode_filter` of a recording that comes in pieces.

width  odd number of samples from 1

push(labels) gives back the labels that can no longer change, half a width late; flush() gives the rest and ends the
recording. However it is cut into pieces, the outcome is the same: that of `mode_filter` without its last step. Where
the windows alone give more transitions than there were (never with two labels), `mode_filter` merges segments of the
whole recording, and the stream does not; `gained` tells after the flush of which recordings that is true.

Memory for the last `width` labels; O(width + T) for a push of T labels. Calls from several threads wait for each other.
Raises TypeError and ValueError as `mode_filter`.

>>> stream = ModeStream(3)
>>> stream.push([5, 5, 7, 5]), stream.push([5, 7, 7]), stream.flush()
(array([5, 5, 5]), array([5, 5, 7]), array([7]))
)")
        .def_property_readonly("gained", &LabelStream<Mode>::gained, kGained);
    bind_labels<Median>(module, "MedianStream", "width", R"(`median_filter` of a recording that comes in pieces.

width  odd number of samples from 1

As `ModeStream`: half a width late, and without the last step of `median_filter`, of which `gained` tells.

>>> stream = MedianStream(3)
>>> stream.push([1, 1, 3, 1]), stream.push([2, 2, 3]), stream.flush()
(array([1, 1, 1]), array([2, 2, 2]), array([3]))
)")
        .def_property_readonly("gained", &LabelStream<Median>::gained, kGained);
    bind_labels<Dwell>(module, "MinDwellStream", "min_frames", R"(`min_dwell` of a recording that comes in pieces.

min_frames  at least 1

push(labels) gives back the labels that can no longer change; flush() gives the rest and ends the recording. Together
they are exactly what `min_dwell` gives for the whole recording, however it is cut into pieces.

The first segment, and every one that lasts min_frames, comes out as it goes on, unless a shorter one before it is
undecided. That one goes to the longer of its neighbours: to the earlier one as soon as the later one has ended without
reaching its length, to the later one as soon as that has grown beyond it; between neighbours with the same label as
soon as the second is as long as itself. Until then it and what follows wait: after a long segment and a short one,
a new label waits until it lasts longer than the long one or ends.

Memory for at most 2 min_frames + 2 segments, whatever their lengths; O(T + waiting segments) for a push of T labels.
Calls from several threads wait for each other. Raises TypeError and ValueError as `min_dwell`.

>>> stream = MinDwellStream(2)
>>> stream.push([4, 4, 4, 6, 4]), stream.push([4, 8]), stream.flush()
(array([4, 4, 4, 4, 4]), array([4]), array([8]))
)");
    py::class_<Switch>(module, "HysteresisStream", R"(`hysteresis` of a recording that comes in pieces.

enter, exit  thresholds, enter >= exit

push(p) gives the switch for each sample, at once; flush() ends the recording, that is, switches off. Exactly as
`hysteresis` gives for the whole. Calls from several threads wait for each other.

>>> stream = HysteresisStream(0.8, 0.4)
>>> stream.push([0.5, 0.9]), stream.push([0.5, 0.2]), stream.on
(array([False,  True]), array([ True, False]), False)
)")
        .def(py::init<const py::object &, const py::object &>(), py::arg("enter"), py::arg("exit"))
        .def("push", &Switch::push, py::arg("p"), R"(The switch after each sample of p, (T,) real.

Returns (T,) bool. Raises ValueError on NaN in p, naming the row; the stream is then as before.
)")
        .def("flush", &Switch::flush, "Ends the recording: off before the next sample.")
        .def_property_readonly("on", &Switch::on, "Whether the switch is on after the last sample.")
        .def("save", &Switch::save, kSave)
        .def("restore", &Switch::restore, py::arg("state"), kRestore);
}

} // namespace conv2d::bindings
