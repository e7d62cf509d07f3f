// Functions of Python's vector-call protocol, for the few whose calls must cost next to nothing: pybind11 takes some
// 60 ns to find the arguments of a call, and 200 ns more where one is given by name.
#pragma once

#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <new>
#include <stdexcept>
#include <string>

namespace conv2d::bindings {

namespace py = pybind11;

// The arguments by the names of the parameters; none (a null handle) where an optional one was left out.
template <std::size_t N> std::array<py::handle, N> gather_arguments(const char *function,
                                                                    const std::array<const char *, N> &names,
                                                                    std::size_t required, PyObject *const *args,
                                                                    Py_ssize_t positional, PyObject *keywords) {
    std::array<py::handle, N> found{};
    const auto in_order = static_cast<std::size_t>(positional);
    if (in_order > N) {
        throw py::type_error(std::string(function) + "() got " + std::to_string(in_order) +
                             " arguments, expected at most " + std::to_string(N));
    }
    std::copy_n(args, in_order, found.begin());
    const Py_ssize_t named = keywords == nullptr ? 0 : PyTuple_GET_SIZE(keywords);
    for (Py_ssize_t i = 0; i < named; ++i) {
        PyObject *const name = PyTuple_GET_ITEM(keywords, i);
        const auto same = [name](const char *text) { return PyUnicode_CompareWithASCIIString(name, text) == 0; };
        const auto at = static_cast<std::size_t>(std::find_if(names.begin(), names.end(), same) - names.begin());
        if (at == N || found[at]) {
            throw py::type_error(std::string(function) + "() got " +
                                 (at == N ? "an argument that it does not have, '" : "two values for the argument '") +
                                 std::string(py::str(py::handle(name))) + "'");
        }
        found[at] = args[positional + i];
    }
    for (std::size_t i = 0; i < required; ++i) {
        if (!found[i]) {
            throw py::type_error(std::string(function) + "() lacks the argument '" + names[i] + "'");
        }
    }
    return found;
}

// What the call returns, or nullptr with the Python exception that stands for what it threw.
template <typename Call> PyObject *or_python_error(Call &&call) noexcept {
    try {
        return py::object(call()).release().ptr();
    } catch (py::error_already_set &error) {
        error.restore();
    } catch (const py::builtin_exception &error) {
        error.set_error();
    } catch (const std::bad_alloc &) {
        PyErr_NoMemory();
    } catch (const std::invalid_argument &error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const std::exception &error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}

using VectorCall = PyObject *(*)(PyObject *self, PyObject *const *args, Py_ssize_t positional, PyObject *keywords);

// Adds a function to the module; `definition` and the text must live as long as it. The text begins with the signature.
inline void add_fast_function(py::module_ &module, PyMethodDef &definition, const char *name, VectorCall call,
                              const char *text) {
    definition = {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(call)),
                  METH_FASTCALL | METH_KEYWORDS, text};
    const py::object module_name = module.attr("__name__");
    const auto function = py::reinterpret_steal<py::object>(PyCFunction_NewEx(&definition, nullptr, module_name.ptr()));
    if (!function) {
        throw py::error_already_set();
    }
    module.attr(name) = function;
}

} // namespace conv2d::bindings
