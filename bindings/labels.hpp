// Arrays of labels: bool, uint8, int8, int16, int32 or int64, each worked on as what it is.
#pragma once

#include "arrays.hpp"

#include <type_traits>
#include <utility>

namespace conv2d::bindings {

// What the core calls a label of this dtype: a bool is one of the bytes 0 and 1.
template <typename Stored> using LabelOf = std::conditional_t<std::is_same_v<Stored, bool>, std::uint8_t, Stored>;

template <typename Stored> [[nodiscard]] const LabelOf<Stored> *label_data(const Contiguous<Stored> &array) {
    return reinterpret_cast<const LabelOf<Stored> *>(array.data());
}

// Calls use(Stored{}) with the type of the labels; refuses other dtypes.
template <typename Use> auto with_label_type(const py::array &labels, Use use) {
    const char kind = labels.dtype().kind();
    const py::ssize_t bytes = labels.dtype().itemsize();
    if (kind == 'b') {
        return use(bool{});
    }
    if (kind == 'u' && bytes == 1) {
        return use(std::uint8_t{});
    }
    if (kind == 'i' && bytes == 1) {
        return use(std::int8_t{});
    }
    if (kind == 'i' && bytes == 2) {
        return use(std::int16_t{});
    }
    if (kind == 'i' && bytes == 4) {
        return use(std::int32_t{});
    }
    if (kind == 'i' && bytes == 8) {
        return use(std::int64_t{});
    }
    throw py::type_error("labels has dtype " + std::string(py::str(labels.dtype())) +
                         ", expected bool, uint8, int8, int16, int32 or int64");
}

// The value as an array of labels with one of these numbers of dimensions, which `expected` says.
[[nodiscard]] inline py::array require_labels(const py::object &value, py::ssize_t most_dimensions,
                                              const char *expected) {
    py::array array = require_array(value, "labels", "biu", "bool, uint8, int8, int16, int32 or int64");
    if (array.ndim() < 1 || array.ndim() > most_dimensions) {
        throw py::value_error("labels has shape " + shape_text(array) + ", expected " + expected);
    }
    return array;
}

// `out` when it is given and can be written to, else a new array of that shape.
template <typename Stored>
[[nodiscard]] Contiguous<Stored> result_array(const py::object &out, const py::array &like, const char *dtype) {
    const std::vector<py::ssize_t> shape(like.shape(), like.shape() + like.ndim());
    if (out.is_none()) {
        return Contiguous<Stored>(shape);
    }
    std::string got = Py_TYPE(out.ptr())->tp_name;
    if (py::isinstance<py::array>(out)) {
        const auto given = py::reinterpret_borrow<py::array>(out);
        const bool same = std::vector<py::ssize_t>(given.shape(), given.shape() + given.ndim()) == shape;
        if (same && given.writeable() && py::isinstance<py::array_t<Stored, py::array::c_style>>(out)) {
            return py::reinterpret_borrow<Contiguous<Stored>>(out);
        }
        got = std::string(given.writeable() ? "" : "read-only ") + std::string(py::str(given.dtype())) + " of shape " +
              shape_text(given);
    }
    throw py::value_error("out is " + got + ", expected a writeable contiguous " + dtype + " array of shape " +
                          shape_text(like));
}

[[nodiscard]] inline bool overlap(const py::array &a, const py::array &b) {
    const auto *from = static_cast<const char *>(a.data());
    const auto *to = static_cast<const char *>(b.data());
    return a.nbytes() > 0 && b.nbytes() > 0 && std::less<>{}(from, to + b.nbytes()) &&
           std::less<>{}(to, from + a.nbytes());
}

} // namespace conv2d::bindings
