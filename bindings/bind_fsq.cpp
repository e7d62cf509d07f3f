#include "arrays.hpp"

#include "conv2d/fsq.hpp"

namespace conv2d::bindings {
namespace {

FsqLattice lattice(const py::object &levels) {
    const py::array array = require_array(levels, "levels", "iu", "integers, one number of levels for each dimension");
    require_dimensions(array, "levels", 1, "one number of levels for each dimension");
    return FsqLattice(vector(Contiguous<std::int64_t>(array)));
}

Contiguous<float> points(const py::object &z, const FsqLattice &fsq) {
    auto array = require_numbers<float>(z, "z", 2, "(N, d)");
    if (static_cast<std::size_t>(array.shape(1)) != fsq.dimensions()) {
        throw py::value_error("z has shape " + shape_text(array) + ", expected " + std::to_string(fsq.dimensions()) +
                              " columns, one for each entry of levels");
    }
    return array;
}

template <typename Code> py::array encode(const FsqLattice &fsq, const Contiguous<float> &z, const py::object &out) {
    Contiguous<Code> codes;
    if (out.is_none()) {
        codes = Contiguous<Code>(z.shape(0));
    } else {
        const char *expected = sizeof(Code) == 4 ? "int32" : "int64";
        const bool usable = py::isinstance<py::array_t<Code, py::array::c_style>>(out);
        if (!usable || py::array(out).ndim() != 1 || py::array(out).shape(0) != z.shape(0) ||
            !py::array(out).writeable()) {
            std::string got = Py_TYPE(out.ptr())->tp_name;
            if (py::isinstance<py::array>(out)) {
                const py::array given(out);
                got = std::string(given.writeable() ? "" : "read-only ") + std::string(py::str(given.dtype())) +
                      " of shape " + shape_text(given);
            }
            throw py::value_error("out is " + got + ", expected a writeable contiguous " + expected + " array of " +
                                  "shape (" + std::to_string(z.shape(0)) + ",)");
        }
        codes = py::reinterpret_borrow<Contiguous<Code>>(out);
    }
    const auto from = matrix(z);
    const auto to = mutable_vector(codes);
    {
        const py::gil_scoped_release unlocked;
        fsq.encode(from, to);
    }
    return codes;
}

py::array fsq_encode(const py::object &z, const py::object &levels, const py::object &out) {
    const FsqLattice fsq = lattice(levels);
    const auto array = points(z, fsq);
    return fsq.fits_int32() ? encode<std::int32_t>(fsq, array, out) : encode<std::int64_t>(fsq, array, out);
}

py::array fsq_decode(const py::object &codes, const py::object &levels) {
    const FsqLattice fsq = lattice(levels);
    const py::array given = require_array(codes, "codes", "iu", "integers");
    require_dimensions(given, "codes", 1, "(N,)");
    const Contiguous<std::int64_t> array(given);
    Contiguous<float> values({array.shape(0), static_cast<py::ssize_t>(fsq.dimensions())});
    const auto from = vector(array);
    const auto to = mutable_matrix(values);
    {
        const py::gil_scoped_release unlocked;
        fsq.decode(from, to);
    }
    return values;
}

py::array margin(const py::object &z, const py::object &levels) {
    const FsqLattice fsq = lattice(levels);
    const auto array = points(z, fsq);
    Contiguous<float> margins(array.shape(0));
    const auto from = matrix(array);
    const auto to = mutable_vector(margins);
    {
        const py::gil_scoped_release unlocked;
        fsq.margin(from, to);
    }
    return margins;
}

py::array thresholds(const py::object &levels) {
    const std::int64_t count = require_integer(levels, "levels");
    std::span<const float> found;
    {
        const py::gil_scoped_release unlocked;
        found = fsq_thresholds(count);
    }
    return Contiguous<float>(static_cast<py::ssize_t>(found.size()), found.data());
}

} // namespace

void bind_fsq(py::module_ &module) {
    module.def("fsq_encode", &fsq_encode, py::arg("z"), py::arg("levels"), py::arg("out") = py::none(),
               R"(Codes of vectors under finite scalar quantisation (Mentzer et al. 2023).

The digit in each dimension is the number of `fsq_thresholds` at or below the value; the code is the sum of
digit_i * product of levels[:i], the first dimension being the least significant.

z       (N, d) float32; other real dtypes are cast to float32 first. -inf and inf saturate.
levels  d integers from 2 to 255
out     optional contiguous array of shape (N,) and the dtype of the result, which is filled and returned

Returns (N,) codes: int32 while the product of levels is at most 2^31 - 1, else int64.
Raises ValueError on NaN (naming the row; nothing is written), on shapes that do not match, and on lattices of more
than 2^63 points. O(N d log L).

>>> fsq_encode(np.float32([[0.0, 0.0], [9.0, -9.0]]), [8, 5])
array([20,  7], dtype=int32)
)");
    module.def("fsq_decode", &fsq_decode, py::arg("codes"), py::arg("levels"),
               R"(Quantised values of codes: (digit - L // 2) / (L // 2) in each dimension, within [-1, 1].

codes   (N,) integers
levels  d integers from 2 to 255

Returns (N, d) float32. Raises ValueError on a code outside 0 .. product of levels - 1, naming the row. O(N d).

>>> fsq_decode([20, 7], [8, 5])
array([[ 0.  ,  0.  ],
       [ 0.75, -1.  ]], dtype=float32)
)");
    module.def("fsq_margin", &margin, py::arg("z"), py::arg("levels"),
               R"(How far each vector is from another code: the distance to the nearest threshold of any dimension.

In units of z, by the maximum norm: no change of all coordinates by less than the margin alters the code. A value on
a threshold has margin 0; inf where every coordinate is infinite.

z       (N, d) float32; other real dtypes are cast to float32 first
levels  d integers from 2 to 255

Returns (N,) float32. Raises as `fsq_encode`. O(N d log L).

>>> bool(fsq_margin(np.zeros((1, 2), np.float32), [5, 5])[0] == np.abs(fsq_thresholds(5)).min())
True
)");
    module.def("fsq_thresholds", &thresholds, py::arg("levels"),
               R"(The values of one dimension at which its digit goes up: digit(z) = number of thresholds <= z.

This is the definition of the quantiser, for training, export and devices alike. The thresholds are found by bisection
over all float32 numbers against

    half = float32((levels - 1) * 1.001 / 2), offset = 0.5 if levels is even else 0, shift = float32(atanh(offset / half))
    digit = rint(float32(float32(tanh(float32(z + shift))) * half) - offset) + levels // 2

with every step rounded to float32 and no fused multiply-add.

Returns (levels - 1,) float32, ascending. Raises ValueError for levels outside 2 .. 255. Computed once for each number
of levels.

>>> len(fsq_thresholds(8))
7
)");
}

} // namespace conv2d::bindings
