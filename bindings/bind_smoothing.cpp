#include "arrays.hpp"

#include "conv2d/smoothing.hpp"

namespace conv2d::bindings {
namespace {

// Applies smooth(row, smoothed row) to (T,) or to each row of (B, T).
template <typename Label, typename Smooth> py::array smooth_rows(const Contiguous<Label> &labels, Smooth smooth) {
    Contiguous<Label> smoothed(std::vector<py::ssize_t>(labels.shape(), labels.shape() + labels.ndim()));
    const auto length = static_cast<std::size_t>(labels.shape(labels.ndim() - 1));
    const std::size_t rows = labels.ndim() == 1 ? 1 : static_cast<std::size_t>(labels.shape(0));
    const Matrix<const Label> from{labels.data(), rows, length};
    const Matrix<Label> to{smoothed.mutable_data(), rows, length};
    {
        const py::gil_scoped_release unlocked;
        for (std::size_t row = 0; row < rows; ++row) {
            smooth(from.row(row), to.row(row));
        }
    }
    return smoothed;
}

template <typename Smooth> py::array smooth_labels(const py::object &labels, Smooth smooth) {
    const py::array array = require_array(labels, "labels", "i", "int32 or int64");
    if (array.ndim() != 1 && array.ndim() != 2) {
        throw py::value_error("labels has shape " + shape_text(array) + ", expected (T,) or (B, T)");
    }
    if (array.dtype().itemsize() == 4) {
        return smooth_rows(Contiguous<std::int32_t>(array), smooth);
    }
    if (array.dtype().itemsize() == 8) {
        return smooth_rows(Contiguous<std::int64_t>(array), smooth);
    }
    throw py::type_error("labels has dtype " + std::string(py::str(array.dtype())) + ", expected int32 or int64");
}

py::array mode(const py::object &labels, const py::object &width) {
    const std::int64_t frames = require_integer(width, "width");
    return smooth_labels(labels, [frames](auto from, auto to) { mode_filter(from, frames, to); });
}

py::array median(const py::object &labels, const py::object &width) {
    const std::int64_t frames = require_integer(width, "width");
    return smooth_labels(labels, [frames](auto from, auto to) { median_filter(from, frames, to); });
}

py::array dwell(const py::object &labels, const py::object &min_frames) {
    const std::int64_t frames = require_integer(min_frames, "min_frames");
    return smooth_labels(labels, [frames](auto from, auto to) { min_dwell(from, frames, to); });
}

py::array on_off(const py::object &p, const py::object &enter, const py::object &exit) {
    const double high = require_real(enter, "enter");
    const double low = require_real(exit, "exit");
    const auto array = require_numbers<double>(p, "p", 1, "(T,)");
    Contiguous<bool> on(array.shape(0));
    const auto from = vector(array);
    const auto to = mutable_vector(on);
    {
        const py::gil_scoped_release unlocked;
        hysteresis(from, high, low, to);
    }
    return on;
}

} // namespace

void bind_smoothing(py::module_ &module) {
    module.def("mode_filter", &mode, py::arg("labels"), py::arg("width"),
               R"(The most frequent label in a window around each sample; for labels without an order.

Of labels that are equally frequent the sample's own wins, else the smallest. Both ends are continued by their own
label. No label is new, and there are never more transitions than before: with two labels that is a property of the
filter (which then is the median filter), with more a rare input can gain transitions, and is brought back to their
former number by merging the shortest inner segments as `min_dwell` does.

labels  (T,) or (B, T) int32 or int64, rows apart; labels are only compared, so -1 is a label like others
width   odd number of samples from 1; may be larger than T

Returns an array like labels. Raises TypeError on another dtype, ValueError on an even or non-positive width.
O(T log n) for n distinct labels.

>>> mode_filter([5, 5, 7, 5, 5, 7, 7], 3)
array([5, 5, 5, 5, 5, 7, 7])
)");
    module.def("median_filter", &median, py::arg("labels"), py::arg("width"),
               R"(The median of a window around each sample; for labels whose order means something (see `mode_filter`).

Both ends are continued by their own label. No label is new, and there are never more transitions than before, by the
same means as in `mode_filter`.

labels  (T,) or (B, T) int32 or int64, rows apart
width   odd number of samples from 1; may be larger than T

Returns an array like labels. Raises as `mode_filter`. O(T log n) for n distinct labels.

>>> median_filter([1, 1, 3, 1, 2, 2, 3], 3)
array([1, 1, 1, 2, 2, 2, 3])
)");
    module.def("min_dwell", &dwell, py::arg("labels"), py::arg("min_frames"),
               R"(Labels without inner segments shorter than asked.

As long as a segment between the first and the last one is shorter than `min_frames`, the shortest one (of equals the
earliest) goes to the longer of its two neighbours (of equals the earlier); neighbours with the same label become one
segment with it. The first and the last segment are cut off by the ends of the recording: their length is not known,
and they are never removed. A recording of one or two segments comes back as it was.

labels      (T,) or (B, T) int32 or int64, rows apart; labels are only compared, so -1 is a label like others
min_frames  at least 1

Returns an array like labels: no inner segment is shorter than `min_frames`, no label is new, there are never more
transitions, and a second pass changes nothing. Raises TypeError on another dtype, ValueError on min_frames below 1.
O(T + n log n) for n segments.

>>> min_dwell([4, 4, 4, 6, 4, 4, 8], 2)
array([4, 4, 4, 4, 4, 4, 8])
)");
    module.def(
        "hysteresis", &on_off, py::arg("p"), py::arg("enter"), py::arg("exit"),
        R"(A switch with two thresholds: on from p >= enter, off again from p < exit, off before the first sample.

There are never more transitions than in p >= enter.

p            (T,) real
enter, exit  thresholds, enter >= exit

Returns (T,) bool. Raises ValueError on NaN in p (naming the row) and on enter < exit. O(T).

>>> hysteresis([0.5, 0.9, 0.5, 0.2, 0.5], 0.8, 0.4)
array([False,  True,  True, False, False])
)");
}

} // namespace conv2d::bindings
