#include "hsmm_arguments.hpp"

#include "conv2d/stream.hpp"

#include <atomic>
#include <optional>
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
           bool filtered, const py::object &check_frames, const py::object &log_final)
        : arguments_(py::make_tuple(require_numbers<double>(log_transitions, "log_transitions", 2, "(K, K)"),
                                    require_numbers<double>(log_initial, "log_initial", 1, "(K,)"),
                                    require_numbers<double>(log_durations, "log_durations", 2, "(K, D)"), censoring,
                                    lag_frames, smoothing_lag_frames, filtered, check_frames, log_final)),
          filtered_(filtered), smoothed_(!smoothing_lag_frames.is_none()),
          stream_(make(log_transitions, log_initial, log_durations, censoring, lag_frames, smoothing_lag_frames,
                       filtered, check_frames, log_final)) {}

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

  private:
    static HsmmStream make(const py::object &log_transitions, const py::object &log_initial,
                           const py::object &log_durations, const py::object &censoring, const py::object &lag_frames,
                           const py::object &smoothing_lag_frames, bool filtered, const py::object &check_frames,
                           const py::object &log_final) {
        const py::array no_frames(py::dtype::of<double>(), std::vector<py::ssize_t>{0, 0});
        const HsmmArguments given(no_frames, log_transitions, log_initial, log_durations, censoring);
        StreamOptions options;
        options.lag_frames = optional_integer(lag_frames, "lag_frames");
        options.smoothing_lag_frames = optional_integer(smoothing_lag_frames, "smoothing_lag_frames");
        options.filtered = filtered;
        options.check_frames = require_integer(check_frames, "check_frames");
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
    py::class_<Stream>(module, "HsmmStream", "x")
        .def(py::init<const py::object &, const py::object &, const py::object &, const py::object &,
                      const py::object &, const py::object &, bool, const py::object &, const py::object &>(),
             py::arg("log_transitions"), py::arg("log_initial"), py::arg("log_durations"),
             py::arg("censoring") = "none", py::arg("lag_frames") = py::none(),
             py::arg("smoothing_lag_frames") = py::none(), py::arg("filtered") = false, py::arg("check_frames") = 1,
             py::arg("log_final") = py::none())
        .def("push", &Stream::push, py::arg("log_emissions"), "x")
        .def("flush", &Stream::flush, py::arg("ends") = true, "x")
        .def("reset", &Stream::reset, "x")
        .def("tentative", &Stream::tentative, "x")
        .def("save", &Stream::save, "x")
        .def("restore", &Stream::restore, py::arg("state"), "x")
        .def_property_readonly("open", &Stream::open, "x")
        .def_property_readonly("filtered", &Stream::filtered, "x")
        .def_property_readonly("smoothed", &Stream::smoothed, "x")
        .def_property_readonly("frames", &Stream::get<&HsmmStream::frames>, "x")
        .def_property_readonly("decided", &Stream::get<&HsmmStream::decided>, "x")
        .def_property_readonly("flushed", &Stream::get<&HsmmStream::flushed>, "x")
        .def_property_readonly("forced_commits", &Stream::get<&HsmmStream::forced_commits>, "x")
        .def_property_readonly("forced_frames", &Stream::get<&HsmmStream::forced_frames>, "x")
        .def("__getstate__", &Stream::pickled);
}

} // namespace conv2d::bindings
