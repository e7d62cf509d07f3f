#include "hsmm_arguments.hpp"

#include "conv2d/stream.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace conv2d::bindings {
namespace {

py::array segment_array(const std::vector<Segment> &segments) {
    Contiguous<std::int64_t> array({static_cast<py::ssize_t>(segments.size()), py::ssize_t{3}});
    const auto rows = mutable_matrix(array);
    for (std::size_t n = 0; n < segments.size(); ++n) {
        rows(n, 0) = segments[n].state;
        rows(n, 1) = segments[n].start;
        rows(n, 2) = segments[n].end;
    }
    return array;
}

py::array share_array(const std::vector<double> &shares, std::int64_t states) {
    Contiguous<double> array({static_cast<py::ssize_t>(shares.size()) / states, static_cast<py::ssize_t>(states)});
    std::copy(shares.begin(), shares.end(), array.mutable_data());
    return array;
}

std::optional<std::int64_t> optional_integer(const py::object &value, const char *name) {
    return value.is_none() ? std::nullopt : std::optional(require_integer(value, name));
}

template <typename Work> auto without_gil(Work &&work) {
    const py::gil_scoped_release unlocked;
    return work();
}

// One stream, as Python holds it: a second thread is turned away while one is inside.
class Stream {
  public:
    Stream(const py::object &log_transitions, const py::object &log_initial, const py::object &log_durations,
           const py::object &censoring, const py::object &lag_frames, const py::object &smoothing_lag_frames,
           bool filtered, const py::object &check_frames, bool join, const py::object &log_final)
        : arguments_(py::make_tuple(require_numbers<double>(log_transitions, "log_transitions", 2, "(K, K)"),
                                    require_numbers<double>(log_initial, "log_initial", 1, "(K,)"),
                                    require_numbers<double>(log_durations, "log_durations", 2, "(K, D)"), censoring,
                                    lag_frames, smoothing_lag_frames, filtered, check_frames, join, log_final)),
          filtered_(filtered), smoothed_(!smoothing_lag_frames.is_none()),
          stream_(make(log_transitions, log_initial, log_durations, censoring, lag_frames, smoothing_lag_frames,
                       filtered, check_frames, join, log_final)) {}

    py::array push(const py::object &log_emissions) {
        const auto rows = require_numbers<double>(log_emissions, "log_emissions", 2, "(n, K)");
        const Visit visit(busy_);
        StreamOutput output;
        without_gil([&] { stream_.push(matrix(rows), output); });
        return keep(std::move(output));
    }

    py::tuple flush(bool ends) {
        const Visit visit(busy_);
        StreamOutput output;
        const double score = without_gil([&] { return stream_.flush(output, ends); });
        const py::array segments = keep(std::move(output));
        return py::make_tuple(segments, score);
    }

    void reset() {
        const Visit visit(busy_);
        stream_.reset();
        last_ = {};
    }

    py::bytes save() {
        const Visit visit(busy_);
        const auto bytes = without_gil([&] { return stream_.save(); });
        return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
    }

    void restore(const py::bytes &state) {
        const Visit visit(busy_);
        const std::string_view text = state;
        without_gil([&] { stream_.restore(std::as_bytes(std::span(text.data(), text.size()))); });
        last_ = {};
    }

    py::array tentative() {
        const Visit visit(busy_);
        return segment_array(without_gil([&] { return stream_.tentative(); }));
    }

    py::object open() {
        const Visit visit(busy_);
        const auto open = stream_.open();
        return open ? py::object(py::make_tuple(open->state, open->start, open->until)) : py::object(py::none());
    }

    template <auto Get> auto get() {
        const Visit visit(busy_);
        return (stream_.*Get)();
    }

    py::object filtered() {
        const Visit visit(busy_);
        return filtered_ ? py::object(share_array(last_.filtered, stream_.states())) : py::object(py::none());
    }

    py::object smoothed() {
        const Visit visit(busy_);
        return smoothed_ ? py::object(share_array(last_.smoothed, stream_.states())) : py::object(py::none());
    }

    py::tuple pickled() { return py::make_tuple(arguments_, save()); }

    static std::unique_ptr<Stream> unpickled(const py::tuple &state) {
        const py::tuple given = state[0];
        auto stream = std::make_unique<Stream>(given[0], given[1], given[2], given[3], given[4], given[5],
                                               given[6].cast<bool>(), given[7], given[8].cast<bool>(), given[9]);
        stream->restore(state[1]);
        return stream;
    }

  private:
    static HsmmStream make(const py::object &log_transitions, const py::object &log_initial,
                           const py::object &log_durations, const py::object &censoring, const py::object &lag_frames,
                           const py::object &smoothing_lag_frames, bool filtered, const py::object &check_frames,
                           bool join, const py::object &log_final) {
        const py::array no_frames(py::dtype::of<double>(), std::vector<py::ssize_t>{0, 0});
        const HsmmArguments given(no_frames, log_transitions, log_initial, log_durations, censoring);
        StreamOptions options;
        options.lag_frames = optional_integer(lag_frames, "lag_frames");
        options.smoothing_lag_frames = optional_integer(smoothing_lag_frames, "smoothing_lag_frames");
        options.filtered = filtered;
        options.check_frames = require_integer(check_frames, "check_frames");
        options.join = join;
        Contiguous<double> final(py::ssize_t{0});
        if (!log_final.is_none()) {
            final = require_numbers<double>(log_final, "log_final", 1, "(K,)");
            options.log_final = vector(final);
        }
        return {given.model, options};
    }

    // For as long as a call is inside, no other one comes in.
    class Visit {
      public:
        explicit Visit(std::atomic<bool> &busy) : busy_(busy) {
            if (busy_.exchange(true)) {
                throw std::runtime_error("the stream is busy in another thread, expected one thread at a time; give "
                                         "each thread a stream of its own, or a lock");
            }
        }
        ~Visit() { busy_ = false; }
        Visit(const Visit &) = delete;
        Visit &operator=(const Visit &) = delete;

      private:
        std::atomic<bool> &busy_;
    };

    py::array keep(StreamOutput &&output) {
        last_ = std::move(output);
        return segment_array(last_.segments);
    }

    py::tuple arguments_;
    bool filtered_, smoothed_;
    HsmmStream stream_;
    StreamOutput last_;
    std::atomic<bool> busy_ = false;
};

} // namespace

void bind_stream(py::module_ &module) {
    py::class_<Stream>(module, "HsmmStream", R"(A hidden semi-Markov model that decodes a recording while it is made.

Takes the model of `hsmm_viterbi`, with one matrix of transitions for all frames, and copies it. `push` gives each
segment as soon as every continuation of the recording has it in its most likely timeline: over all pushes and the
flush the segments and the score are those of `hsmm_viterbi`, bit for bit. (Finite scores of a frame must lie within
1e9 of each other for that; larger ones drown what the smaller ones decided.)

lag_frames            a frame is decided at the latest when so many have followed it, by the most likely timeline until
                      then; later frames are decoded in accordance with it. None waits for certainty
smoothing_lag_frames  give P(state at t | frames 0 .. t + this many) for each frame, too
filtered              give P(state at t | frames 0 .. t) for each frame, too
check_frames          a push looks for final segments at its end when so many frames have come since it last looked
join                  give neighbouring segments of one state as one. A stay that lasts many segments is then known to
                      last at once, and memory does not grow with it; where in it one segment follows another often
                      hangs on when it ends
log_final             (K,) added to the scores of the recording's last frame. The timeline then takes in each frame
                      with the next push only, which makes it final a frame later

Memory is O(D K) and what is open: a few numbers for each segment that could still be part of the timeline. It does not
grow with the frames taken in. One thread at a time: a second one is refused with RuntimeError. Copies and pickles.
Raises ValueError and TypeError as `hsmm_viterbi` does.

>>> stream = HsmmStream([[-np.inf, 0], [0, -np.inf]], [0, 0], np.log([[0.2, 0.8], [0.2, 0.8]]), censoring='right')
>>> scores = [[0, -9], [0, -9], [-9, 0], [-9, 0], [0, -9]]
>>> [stream.push([row]).tolist() for row in scores]
[[], [], [], [], [[0, 0, 2]]]
>>> stream.open
(1, 2, 3)
>>> stream.flush()[0]
array([[1, 2, 4],
       [0, 4, 5]])
)")
        .def(py::init<const py::object &, const py::object &, const py::object &, const py::object &,
                      const py::object &, const py::object &, bool, const py::object &, bool, const py::object &>(),
             py::arg("log_transitions"), py::arg("log_initial"), py::arg("log_durations"),
             py::arg("censoring") = "none", py::arg("lag_frames") = py::none(),
             py::arg("smoothing_lag_frames") = py::none(), py::arg("filtered") = false, py::arg("check_frames") = 1,
             py::arg("join") = false, py::arg("log_final") = py::none())
        .def("push", &Stream::push, py::arg("log_emissions"),
             R"(Take in the next frames and give the segments that have become final.

log_emissions  (n, K) real, n of 0 or more; a frame without data is a row of zeros

Returns segments (m, 3) int64 with state, start, end exclusive. They follow those given before without a gap. Which
frames come together changes nothing but when a segment is given.
Raises ValueError, and changes nothing, on what `hsmm_viterbi` refuses, on a row that is -inf throughout, and after
`flush`; and when no timeline is possible any more: the stream then refuses everything until `reset`.
O(K (D + K)) a frame, and about as much as 10 D frames for each look at what is final.
)")
        .def("flush", &Stream::flush, py::arg("ends") = true,
             R"(End the recording.

ends  whether `log_final` holds for the last frame

Returns (segments (m, 3) int64, score float): what was still open, and the score of the whole timeline.
Raises ValueError, and changes nothing, when no timeline can end here; ask for a right-censored model then.
)")
        .def("reset", &Stream::reset, "Forget all frames; the next push begins another recording.")
        .def("tentative", &Stream::tentative,
             R"(The most likely segments of all frames not yet given out, as if the recording went on.

Returns (m, 3) int64 like `push`; the last one goes on. Later frames may change them, but not before `decided`.
)")
        .def("save", &Stream::save,
             R"(Everything that is needed to go on later, as bytes.

Holds a version, a mark of the model and the options, and a check sum. The same on every SIMD path; a machine of the
other byte order refuses it.
)")
        .def("restore", &Stream::restore, py::arg("state"),
             R"(Go on where `save` was called, in a stream of the same model and options.

Raises ValueError, and changes nothing, when the bytes are damaged or of another version, model or options.
)")
        .def_property_readonly("open", &Stream::open,
                               "The segment under way as (state, start, until), or None: frames start .. until - 1 are "
                               "in this state.")
        .def_property_readonly("filtered", &Stream::filtered,
                               "Filtered posteriors (n, K) of the frames of the last push, or None.")
        .def_property_readonly("smoothed", &Stream::smoothed,
                               "Smoothed posteriors (m, K) that the last push or flush gave, in the order of frames, "
                               "or None.")
        .def_property_readonly("frames", &Stream::get<&HsmmStream::frames>, "Frames taken in.")
        .def_property_readonly("decided", &Stream::get<&HsmmStream::decided>,
                               "Frames whose state is decided: in a segment given out, or in `open`.")
        .def_property_readonly("flushed", &Stream::get<&HsmmStream::flushed>, "Whether the recording has ended.")
        .def_property_readonly("forced_commits", &Stream::get<&HsmmStream::forced_commits>,
                               "How often the bound decided what the data had not.")
        .def_property_readonly("forced_frames", &Stream::get<&HsmmStream::forced_frames>,
                               "Frames whose state was so decided.")
        .def(py::pickle([](Stream &stream) { return stream.pickled(); }, &Stream::unpickled));
}

} // namespace conv2d::bindings
