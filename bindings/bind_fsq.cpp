#include "arrays.hpp"
#include "fast_call.hpp"

#include "conv2d/fsq.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <optional>
#include <utility>

namespace conv2d::bindings {
namespace {

// What a call costs beside its work matters here: on a device one window of a few dozen numbers is encoded at a time.
// So the lattices of the last calls are kept, and arrays that need no conversion are taken as they are.
constexpr std::size_t kFewNumbers = 4096; // below, to release the GIL costs more than it gives

// The array as it is: exactly of type T, aligned, C-contiguous; nullptr where it must be converted first.
template <typename T> const py::detail::PyArray_Proxy *plain_array(py::handle value, int dimensions) {
    static PyObject *const dtype = py::dtype::of<T>().release().ptr();
    static PyTypeObject *const array_type = py::detail::npy_api::get().PyArray_Type_;
    constexpr int kPlain = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    if (Py_TYPE(value.ptr()) != array_type) {
        return nullptr;
    }
    const auto *const array = py::detail::array_proxy(value.ptr());
    const bool plain = array->nd == dimensions && (array->flags & kPlain) == kPlain && array->descr == dtype;
    return plain ? array : nullptr;
}

// New and empty; without the detours of py::array_t for a shape that is known.
template <typename T> py::array new_array(std::initializer_list<py::ssize_t> shape) {
    static PyObject *const dtype = py::dtype::of<T>().release().ptr();
    const auto &numpy = py::detail::npy_api::get();
    auto array = py::reinterpret_steal<py::array>(
        numpy.PyArray_NewFromDescr_(numpy.PyArray_Type_, py::handle(dtype).inc_ref().ptr(),
                                    static_cast<int>(shape.size()), shape.begin(), nullptr, nullptr, 0, nullptr));
    if (!array) {
        throw py::error_already_set();
    }
    return array;
}

// The levels where they are a tuple or list of ints, or a plain int64 array: how many, or nothing where they are not.
constexpr std::size_t kFewDimensions = 32;
using FewLevels = std::array<std::int64_t, kFewDimensions>;

std::optional<std::size_t> simple_levels(py::handle levels, FewLevels &found) {
    if (const auto *const array = plain_array<std::int64_t>(levels, 1); array != nullptr) {
        const auto count = static_cast<std::size_t>(array->dimensions[0]);
        if (count > kFewDimensions) {
            return std::nullopt;
        }
        std::copy_n(reinterpret_cast<const std::int64_t *>(array->data), count, found.begin());
        return count;
    }
#ifdef Py_GIL_DISABLED
    const bool sequence = PyTuple_CheckExact(levels.ptr()); // a list could change under our hands
#else
    const bool sequence = PyTuple_CheckExact(levels.ptr()) || PyList_CheckExact(levels.ptr());
#endif
    const auto count = sequence ? static_cast<std::size_t>(PySequence_Fast_GET_SIZE(levels.ptr())) : 0;
    if (!sequence || count > kFewDimensions) {
        return std::nullopt;
    }
    PyObject *const *const items = PySequence_Fast_ITEMS(levels.ptr());
    for (std::size_t i = 0; i < count; ++i) {
        int overflow = 0;
        if (!PyLong_CheckExact(items[i])) {
            return std::nullopt;
        }
        found[i] = PyLong_AsLongLongAndOverflow(items[i], &overflow);
        if (overflow != 0) {
            return std::nullopt;
        }
    }
    return count;
}

FsqLattice converted_lattice(py::handle levels) {
    const py::array array = require_array(py::reinterpret_borrow<py::object>(levels), "levels", "iu",
                                          "integers, one number of levels for each dimension");
    require_dimensions(array, "levels", 1, "one number of levels for each dimension");
    return FsqLattice(vector(Contiguous<std::int64_t>(array)));
}

struct KeptLattice {
    FewLevels levels{};
    std::size_t count = 0; // 0: none kept
    std::optional<FsqLattice> lattice;
};

FsqLattice lattice_of(py::handle levels) {
    thread_local std::array<KeptLattice, 4> kept;
    thread_local std::size_t oldest = 0;
    FewLevels wanted;
    const auto count = simple_levels(levels, wanted);
    if (!count || *count == 0) {
        return converted_lattice(levels);
    }
    for (const KeptLattice &entry : kept) {
        if (entry.count == *count && std::equal(wanted.begin(), wanted.begin() + *count, entry.levels.begin())) {
            return *entry.lattice;
        }
    }
    KeptLattice entry{wanted, *count, FsqLattice({wanted.data(), *count})};
    return *(kept[std::exchange(oldest, (oldest + 1) % kept.size())] = std::move(entry)).lattice;
}

// z as a matrix, and what keeps its memory alive.
struct Points {
    Matrix<const float> matrix;
    py::object owner;

    Points(py::handle z, const FsqLattice &fsq) {
        if (const auto *const array = plain_array<float>(z, 2); array != nullptr) {
            matrix = {reinterpret_cast<const float *>(array->data), static_cast<std::size_t>(array->dimensions[0]),
                      static_cast<std::size_t>(array->dimensions[1])};
        } else {
            auto converted = require_numbers<float>(py::reinterpret_borrow<py::object>(z), "z", 2, "(N, d)");
            matrix = bindings::matrix(converted);
            owner = std::move(converted);
        }
        if (matrix.cols != fsq.dimensions()) {
            throw py::value_error("z has shape (" + std::to_string(matrix.rows) + ", " + std::to_string(matrix.cols) +
                                  "), expected " + std::to_string(fsq.dimensions()) +
                                  " columns, one for each entry of levels");
        }
    }

    // The kernels read z while they write out.
    template <typename Code> void keep_apart_from(const Code *out) {
        const auto *const begin = reinterpret_cast<const char *>(matrix.data);
        const auto *const other = reinterpret_cast<const char *>(out);
        const std::less<const char *> before;
        if (before(begin, other + matrix.rows * sizeof(Code)) &&
            before(other, begin + matrix.rows * matrix.cols * sizeof(float))) {
            Contiguous<float> copy({matrix.rows, matrix.cols}, matrix.data);
            matrix = bindings::matrix(copy);
            owner = std::move(copy);
        }
    }
};

FsqNan nan_rule(py::handle nan) {
    if (PyUnicode_Check(nan.ptr()) != 0) {
        if (PyUnicode_CompareWithASCIIString(nan.ptr(), "raise") == 0) {
            return FsqNan::raise;
        }
        if (PyUnicode_CompareWithASCIIString(nan.ptr(), "sentinel") == 0) {
            return FsqNan::sentinel;
        }
    }
    throw py::value_error("nan is " + std::string(py::repr(nan)) + ", expected 'raise' or 'sentinel'");
}

template <typename Work> void without_gil(std::size_t numbers, Work &&work) {
    std::optional<py::gil_scoped_release> unlocked;
    if (numbers > kFewNumbers) {
        unlocked.emplace();
    }
    work();
}

template <typename Code> Code *writeable_codes(py::handle out, std::size_t rows) {
    const bool usable = py::isinstance<py::array_t<Code, py::array::c_style>>(out);
    constexpr int kNeeded = py::detail::npy_api::NPY_ARRAY_WRITEABLE_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    const auto *const array = usable ? py::detail::array_proxy(out.ptr()) : nullptr;
    if (!usable || array->nd != 1 || static_cast<std::size_t>(array->dimensions[0]) != rows ||
        (array->flags & kNeeded) != kNeeded) {
        std::string got = Py_TYPE(out.ptr())->tp_name;
        if (py::isinstance<py::array>(out)) {
            const auto given = py::reinterpret_borrow<py::array>(out);
            got = std::string(given.writeable() ? "" : "read-only ") + std::string(py::str(given.dtype())) +
                  " of shape " + shape_text(given);
        }
        throw py::value_error("out is " + got + ", expected a writeable contiguous " +
                              (sizeof(Code) == 4 ? "int32" : "int64") + " array of shape (" + std::to_string(rows) +
                              ",)");
    }
    return reinterpret_cast<Code *>(array->data);
}

template <typename Code> py::object encode(const FsqLattice &fsq, Points &z, py::handle out, FsqNan nan) {
    const std::size_t rows = z.matrix.rows;
    auto codes = py::reinterpret_borrow<py::object>(out);
    Code *to = nullptr;
    if (!out || out.is_none()) {
        codes = new_array<Code>({static_cast<py::ssize_t>(rows)});
        to = reinterpret_cast<Code *>(py::detail::array_proxy(codes.ptr())->data);
    } else {
        const auto *const array = plain_array<Code>(out, 1);
        const bool plain = array != nullptr && static_cast<std::size_t>(array->dimensions[0]) == rows &&
                           (array->flags & py::detail::npy_api::NPY_ARRAY_WRITEABLE_) != 0;
        to = plain ? reinterpret_cast<Code *>(array->data) : writeable_codes<Code>(out, rows);
        z.keep_apart_from(to);
    }
    without_gil(rows * z.matrix.cols, [&] { fsq.encode<Code>(z.matrix, {to, rows}, nan); });
    return codes;
}

PyObject *fsq_encode(PyObject *, PyObject *const *args, Py_ssize_t positional, PyObject *keywords) noexcept {
    return or_python_error([&] {
        const auto [z, levels, out, nan] =
            gather_arguments<4>("fsq_encode", {"z", "levels", "out", "nan"}, 2, args, positional, keywords);
        const FsqLattice fsq = lattice_of(levels);
        Points points(z, fsq);
        const FsqNan rule = nan ? nan_rule(nan) : FsqNan::raise;
        return fsq.fits_int32() ? encode<std::int32_t>(fsq, points, out, rule)
                                : encode<std::int64_t>(fsq, points, out, rule);
    });
}

template <typename Code> py::tuple quantize(const FsqLattice &fsq, const Points &z, FsqNan nan) {
    const std::size_t rows = z.matrix.rows;
    const auto count = static_cast<py::ssize_t>(rows);
    py::array codes = new_array<Code>({count});
    py::array values = new_array<float>({count, static_cast<py::ssize_t>(z.matrix.cols)});
    py::array margins = new_array<float>({count});
    const std::span<Code> to{static_cast<Code *>(codes.mutable_data()), rows};
    const Matrix<float> values_to{static_cast<float *>(values.mutable_data()), rows, z.matrix.cols};
    const std::span<float> margins_to{static_cast<float *>(margins.mutable_data()), rows};
    without_gil(rows * z.matrix.cols, [&] { fsq.quantize<Code>(z.matrix, to, values_to, margins_to, nan); });
    return py::make_tuple(codes, values, margins);
}

py::tuple fsq_quantize(const py::object &z, const py::object &levels, const py::object &nan) {
    const FsqLattice fsq = lattice_of(levels);
    const Points points(z, fsq);
    const FsqNan rule = nan_rule(nan);
    return fsq.fits_int32() ? quantize<std::int32_t>(fsq, points, rule) : quantize<std::int64_t>(fsq, points, rule);
}

template <typename Code> py::array decode(const FsqLattice &fsq, const Contiguous<Code> &codes, FsqNan nan) {
    py::array values = new_array<float>({codes.shape(0), static_cast<py::ssize_t>(fsq.dimensions())});
    const auto from = vector(codes);
    const Matrix<float> to{static_cast<float *>(values.mutable_data()), from.size(), fsq.dimensions()};
    without_gil(to.rows * to.cols, [&] { fsq.decode<Code>(from, to, nan); });
    return values;
}

py::array fsq_decode(const py::object &codes, const py::object &levels, const py::object &nan) {
    const FsqLattice fsq = lattice_of(levels);
    const py::array given = require_array(codes, "codes", "iu", "integers");
    require_dimensions(given, "codes", 1, "(N,)");
    const FsqNan rule = nan_rule(nan);
    return py::isinstance<py::array_t<std::int32_t>>(given)
               ? decode<std::int32_t>(fsq, Contiguous<std::int32_t>(given), rule)
               : decode<std::int64_t>(fsq, Contiguous<std::int64_t>(given), rule);
}

py::array margin(const py::object &z, const py::object &levels, const py::object &nan) {
    const FsqLattice fsq = lattice_of(levels);
    const Points points(z, fsq);
    const FsqNan rule = nan_rule(nan);
    py::array margins = new_array<float>({static_cast<py::ssize_t>(points.matrix.rows)});
    const std::span<float> to{static_cast<float *>(margins.mutable_data()), points.matrix.rows};
    without_gil(points.matrix.rows * points.matrix.cols, [&] { fsq.margin(points.matrix, to, rule); });
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
    static PyMethodDef encode_definition;
    add_fast_function(
        module, encode_definition, "fsq_encode", &fsq_encode,
        R"(fsq_encode(z: object, levels: object, out: object = None, nan: object = 'raise') -> numpy.ndarray

Codes of vectors under finite scalar quantisation (Mentzer et al. 2023).

The digit in each dimension is the number of `fsq_thresholds` at or below the value; the code is the sum of
digit_i * product of levels[:i], the first dimension being the least significant.

z       (N, d) float32; other real dtypes are cast to float32 first. -inf and inf saturate.
levels  d integers from 2 to 255
out     optional contiguous array of shape (N,) and the dtype of the result, which is filled and returned
nan     'raise', or 'sentinel': a vector that holds NaN gets the code -1

Returns (N,) codes: int32 while the product of levels is at most 2^31 - 1, else int64.
Raises ValueError on NaN, naming row and column (`out` then holds the codes of the rows before, and is untouched from
that row on), on shapes that do not match, and on lattices of more than 2^63 points. O(N d), whatever the levels.

The fastest call has a C-contiguous float32 z, a tuple of levels, and an `out` that is used again: fresh memory costs
more than the codes that are written to it.

>>> fsq_encode(np.float32([[0.0, 0.0], [9.0, -9.0]]), [8, 5])
array([20,  7], dtype=int32)
)");
    module.def("fsq_quantize", &fsq_quantize, py::arg("z"), py::arg("levels"), py::arg("nan") = "raise",
               R"(Codes, the values they stand for, and the margins, from one pass over the vectors.

z       (N, d) float32; other real dtypes are cast to float32 first. -inf and inf saturate.
levels  d integers from 2 to 255
nan     'raise', or 'sentinel': a vector that holds NaN gets the code -1, values of NaN and the margin NaN

Returns the tuple (codes (N,), values (N, d) float32, margins (N,) float32), equal to what `fsq_encode`, `fsq_decode`
of the codes, and `fsq_margin` return. Raises as `fsq_encode`. O(N d), whatever the levels.

>>> codes, values, margins = fsq_quantize(np.float32([[0.0, 0.0], [9.0, -9.0]]), [8, 5])
>>> codes
array([20,  7], dtype=int32)
>>> values
array([[ 0.  ,  0.  ],
       [ 0.75, -1.  ]], dtype=float32)
)");
    module.def("fsq_decode", &fsq_decode, py::arg("codes"), py::arg("levels"), py::arg("nan") = "raise",
               R"(Quantised values of codes: (digit - L // 2) / (L // 2) in each dimension, within [-1, 1].

codes   (N,) integers
levels  d integers from 2 to 255
nan     'raise', or 'sentinel': -1 is a code, too, with values of NaN

Returns (N, d) float32. Raises ValueError on a code outside 0 .. product of levels - 1, naming the row. O(N d).

>>> fsq_decode([20, 7], [8, 5])
array([[ 0.  ,  0.  ],
       [ 0.75, -1.  ]], dtype=float32)
)");
    module.def("fsq_margin", &margin, py::arg("z"), py::arg("levels"), py::arg("nan") = "raise",
               R"(How far each vector is from another code: the distance to the nearest threshold of any dimension.

In units of z, by the maximum norm: no change of all coordinates by less than the margin alters the code. A value on
a threshold has margin 0; inf where every coordinate is infinite.

z       (N, d) float32; other real dtypes are cast to float32 first
levels  d integers from 2 to 255
nan     'raise', or 'sentinel': a vector that holds NaN has the margin NaN

Returns (N,) float32. Raises as `fsq_encode`. O(N d), whatever the levels.

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
