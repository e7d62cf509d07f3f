// Calls that do nothing, with the arguments of fsq_encode: what pybind11 takes for itself.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

namespace py = pybind11;

PYBIND11_MODULE(empty_call, module) {
    module.def(
        "objects", [](const py::object &, const py::object &, const py::object &) {}, py::arg("z"), py::arg("levels"),
        py::arg("out"));
    module.def(
        "arrays",
        [](const py::array_t<float, py::array::c_style> &, const py::object &,
           const py::array_t<std::int32_t, py::array::c_style> &) {},
        py::arg("z"), py::arg("levels"), py::arg("out"));
}
