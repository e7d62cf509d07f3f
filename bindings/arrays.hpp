// From Python objects to checked, contiguous arrays: every refusal is one sentence that names the argument.
#pragma once

#include "conv2d/numeric.hpp"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace conv2d::bindings {

namespace py = pybind11;

// Contiguous, aligned, of exactly this type; made from what was given when that is another one.
template <typename T> using Contiguous =
    py::array_t<T, py::array::c_style | py::array::forcecast | py::detail::npy_api::NPY_ARRAY_ALIGNED_>;

// The shape as Python writes it: (3, 2), (3,), ().
[[nodiscard]] std::string shape_text(const py::array &array);

// The value as an array whose dtype kind is one of `kinds` ("f", "iu", ...), described to the user as `expected`.
[[nodiscard]] py::array require_array(const py::object &value, const char *name, const char *kinds,
                                      const char *expected);

// A Python or numpy integer, and any real number.
[[nodiscard]] std::int64_t require_integer(const py::object &value, const char *name);
[[nodiscard]] double require_real(const py::object &value, const char *name);

// Throws unless the array has as many dimensions as `expected` ("(T, K)") says.
void require_dimensions(const py::array &array, const char *name, py::ssize_t dimensions, const char *expected);

// Real numbers of any float or integer dtype, as contiguous T.
template <typename T> [[nodiscard]] Contiguous<T> require_numbers(const py::object &value, const char *name,
                                                                  py::ssize_t dimensions, const char *expected) {
    const py::array array = require_array(value, name, "fiu", "real numbers");
    require_dimensions(array, name, dimensions, expected);
    return Contiguous<T>(array);
}

template <typename T> [[nodiscard]] Matrix<const T> matrix(const Contiguous<T> &array) {
    return {array.data(), static_cast<std::size_t>(array.shape(0)), static_cast<std::size_t>(array.shape(1))};
}

template <typename T> [[nodiscard]] Matrix<T> mutable_matrix(Contiguous<T> &array) {
    return {array.mutable_data(), static_cast<std::size_t>(array.shape(0)), static_cast<std::size_t>(array.shape(1))};
}

template <typename T> [[nodiscard]] std::span<const T> vector(const Contiguous<T> &array) {
    return {array.data(), static_cast<std::size_t>(array.size())};
}

template <typename T> [[nodiscard]] std::span<T> mutable_vector(Contiguous<T> &array) {
    return {array.mutable_data(), static_cast<std::size_t>(array.size())};
}

} // namespace conv2d::bindings
