#include "conv2d/simd.hpp"

#include <pybind11/pybind11.h>

#include <string>

namespace py = pybind11;

namespace conv2d::bindings {
namespace {

py::tuple paths() {
    py::list names;
    for (const SimdPath path : simd_paths()) {
        names.append(std::string(simd_name(path)));
    }
    return py::tuple(names);
}

} // namespace

void bind_simd(py::module_ &module) {
    module.def(
        "simd_path", [] { return std::string(simd_name(simd_path())); },
        R"(Name of the instruction set that the kernels run on: 'scalar', 'neon', 'avx2' or 'avx512'.

All paths give the same bits. The best that this processor has is taken, unless the environment variable CONV2D_SIMD
names another when the first kernel runs; ValueError when it names one that is unknown or not there.

>>> simd_path() in simd_paths()
True
)");
    module.def("simd_paths", &paths, R"(Names of the paths that this build and this processor have, the slowest first.

>>> simd_paths()[0]
'scalar'
)");
    module.def(
        "use_simd_path", [](const std::string &name) { use_simd_path(simd_path_of(name)); }, py::arg("name"),
        R"(Take another path for all calls of this process that begin from now on; for tests and comparisons.

Raises ValueError when the name is unknown, or this build or processor lacks the path.

>>> before = simd_path()
>>> use_simd_path('scalar')
>>> simd_path()
'scalar'
>>> use_simd_path(before)
)");
}

} // namespace conv2d::bindings
