#include "arrays.hpp"

#include <cstring>

namespace conv2d::bindings {

std::string shape_text(const py::array &array) { return py::str(array.attr("shape")); }

py::array require_array(const py::object &value, const char *name, const char *kinds, const char *expected) {
    py::array array = py::array::ensure(value); // lists and scalars, too
    if (!array) {
        throw py::type_error(std::string(name) + " is a " + Py_TYPE(value.ptr())->tp_name +
                             " that is no array, expected " + expected);
    }
    if (std::strchr(kinds, array.dtype().kind()) == nullptr) {
        throw py::type_error(std::string(name) + " has dtype " + std::string(py::str(array.dtype())) + ", expected " +
                             expected);
    }
    return array;
}

std::int64_t require_integer(const py::object &value, const char *name) {
    if (PyIndex_Check(value.ptr()) == 0) {
        throw py::type_error(std::string(name) + " is " + std::string(py::repr(value)) + ", expected an integer");
    }
    const auto integer = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
    if (!integer) {
        throw py::error_already_set();
    }
    const long long number = PyLong_AsLongLong(integer.ptr());
    if (number == -1 && PyErr_Occurred() != nullptr) {
        PyErr_Clear();
        throw py::value_error(std::string(name) + " is " + std::string(py::repr(value)) +
                              ", expected an integer within 64 bits");
    }
    return number;
}

double require_real(const py::object &value, const char *name) {
    const double number = PyFloat_AsDouble(value.ptr());
    if (number == -1.0 && PyErr_Occurred() != nullptr) {
        PyErr_Clear();
        throw py::type_error(std::string(name) + " is " + std::string(py::repr(value)) + ", expected a real number");
    }
    return number;
}

void require_dimensions(const py::array &array, const char *name, py::ssize_t dimensions, const char *expected) {
    if (array.ndim() != dimensions) {
        throw py::value_error(std::string(name) + " has shape " + shape_text(array) + ", expected " + expected);
    }
}

} // namespace conv2d::bindings
