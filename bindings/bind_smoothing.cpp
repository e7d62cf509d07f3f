#include "labels.hpp"

#include "conv2d/smoothing.hpp"

namespace conv2d::bindings {
namespace {

// Applies smooth(row, smoothed row) to (T,) or to each row of (B, T).
template <typename Smooth> py::array smooth_labels(const py::object &labels, const py::object &out, Smooth smooth) {
    const py::array given = require_labels(labels, 2, "(T,) or (B, T)");
    return with_label_type(given, [&](auto stored) -> py::array {
        using Stored = decltype(stored);
        Contiguous<Stored> array(given);
        const std::string dtype = py::str(py::dtype::of<Stored>());
        Contiguous<Stored> smoothed = result_array<Stored>(out, array, dtype.c_str());
        if (overlap(array, smoothed)) {
            array = Contiguous<Stored>(array.attr("copy")());
        }
        const auto length = static_cast<std::size_t>(array.shape(array.ndim() - 1));
        const std::size_t rows = array.ndim() == 1 ? 1 : static_cast<std::size_t>(array.shape(0));
        const Matrix<const LabelOf<Stored>> from{label_data(array), rows, length};
        const Matrix<LabelOf<Stored>> to{reinterpret_cast<LabelOf<Stored> *>(smoothed.mutable_data()), rows, length};
        {
            const py::gil_scoped_release unlocked;
            for (std::size_t row = 0; row < rows; ++row) {
                smooth(from.row(row), to.row(row));
            }
        }
        return smoothed;
    });
}

py::array mode(const py::object &labels, const py::object &width, const py::object &out) {
    const std::int64_t frames = require_integer(width, "width");
    return smooth_labels(labels, out, [frames](auto from, auto to) { mode_filter(from, frames, to); });
}

py::array median(const py::object &labels, const py::object &width, const py::object &out) {
    const std::int64_t frames = require_integer(width, "width");
    return smooth_labels(labels, out, [frames](auto from, auto to) { median_filter(from, frames, to); });
}

py::array dwell(const py::object &labels, const py::object &min_frames, const py::object &out) {
    const std::int64_t frames = require_integer(min_frames, "min_frames");
    return smooth_labels(labels, out, [frames](auto from, auto to) { min_dwell(from, frames, to); });
}

template <typename Real> py::array switch_on(Contiguous<Real> p, double enter, double exit, const py::object &out) {
    Contiguous<bool> on = result_array<bool>(out, p, "bool");
    if (overlap(p, on)) {
        p = Contiguous<Real>(p.attr("copy")());
    }
    const auto from = vector(p);
    const auto to = mutable_vector(on);
    {
        const py::gil_scoped_release unlocked;
        hysteresis(from, enter, exit, to);
    }
    return on;
}

py::array on_off(const py::object &p, const py::object &enter, const py::object &exit, const py::object &out) {
    const double high = require_real(enter, "enter");
    const double low = require_real(exit, "exit");
    const py::array array = require_array(p, "p", "fiu", "real numbers");
    require_dimensions(array, "p", 1, "(T,)");
    if (array.dtype().kind() == 'f' && array.dtype().itemsize() == 4) {
        return switch_on(Contiguous<float>(array), high, low, out);
    }
    return switch_on(Contiguous<double>(array), high, low, out);
}

} // namespace

void bind_smoothing(py::module_ &module) {
    module.def("mode_filter", &mode, py::arg("labels"), py::arg("width"), py::arg("out") = py::none(),
               R"(The most frequent label in a window around each sample; for labels without an order.

Of labels that are equally frequent the sample's own wins, else the smallest. Both ends are continued by their own
label. No label is new, and there are never more transitions than before: with two labels that is a property of the
filter (which then is the median filter), with more a rare input can gain transitions, and is brought back to their
former number by merging the shortest inner segments as `min_dwell` does.

labels  (T,) or (B, T) bool, uint8, int8, int16, int32 or int64, rows apart; labels are only compared, so -1 is a
        label like others. Bytes are the fastest.
width   odd number of samples from 1; may be larger than T
out     optional contiguous array of the shape and dtype of labels, which is filled and returned; may be labels itself

Returns an array like labels. Raises TypeError on another dtype, ValueError on an even or non-positive width and on an
out that does not match. O(T) for a width up to 15 and for labels within a range of 256, else O(T log n) for n
distinct labels.

>>> mode_filter([5, 5, 7, 5, 5, 7, 7], 3)
array([5, 5, 5, 5, 5, 7, 7])
)");
    module.def("median_filter", &median, py::arg("labels"), py::arg("width"), py::arg("out") = py::none(),
               R"(The median of a window around each sample; for labels whose order means something (see `mode_filter`).

Both ends are continued by their own label. No label is new, and there are never more transitions than before, by the
same means as in `mode_filter`.

labels  (T,) or (B, T) bool, uint8, int8, int16, int32 or int64, rows apart; bytes are the fastest
width   odd number of samples from 1; may be larger than T
out     optional contiguous array of the shape and dtype of labels, which is filled and returned; may be labels itself

Returns an array like labels. Raises as `mode_filter`. Cost as `mode_filter`.

>>> median_filter([1, 1, 3, 1, 2, 2, 3], 3)
array([1, 1, 1, 2, 2, 2, 3])
)");
    module.def("min_dwell", &dwell, py::arg("labels"), py::arg("min_frames"), py::arg("out") = py::none(),
               R"(Labels without inner segments shorter than asked.

As long as a segment between the first and the last one is shorter than `min_frames`, the shortest one (of equals the
earliest) goes to the longer of its two neighbours (of equals the earlier); neighbours with the same label become one
segment with it. The first and the last segment are cut off by the ends of the recording: their length is not known,
and they are never removed. A recording of one or two segments comes back as it was.

labels      (T,) or (B, T) bool, uint8, int8, int16, int32 or int64, rows apart; labels are only compared, so -1 is a
            label like others
min_frames  at least 1
out         optional contiguous array of the shape and dtype of labels, which is filled and returned; may be labels
            itself

Returns an array like labels: no inner segment is shorter than `min_frames`, no label is new, there are never more
transitions, and a second pass changes nothing. Raises TypeError on another dtype, ValueError on min_frames below 1 and
on an out that does not match. O(T).

>>> min_dwell([4, 4, 4, 6, 4, 4, 8], 2)
array([4, 4, 4, 4, 4, 4, 8])
)");
    module.def(
        "hysteresis", &on_off, py::arg("p"), py::arg("enter"), py::arg("exit"), py::arg("out") = py::none(),
        R"(A switch with two thresholds: on from p >= enter, off again from p < exit, off before the first sample.

There are never more transitions than in p >= enter.

p            (T,) real; float32 and float64 are read as they are, other dtypes are cast to float64 first
enter, exit  thresholds, enter >= exit; a float32 p is compared with them as float64
out          optional contiguous (T,) bool array, which is filled and returned

Returns (T,) bool. Raises ValueError on NaN in p (naming the row; out may be half written then), on enter < exit and on
an out that does not match. O(T).

>>> hysteresis([0.5, 0.9, 0.5, 0.2, 0.5], 0.8, 0.4)
array([False,  True,  True, False, False])
)");
}

} // namespace conv2d::bindings
