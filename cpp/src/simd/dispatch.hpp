// One table of kernels a concept and path. Each cpp/src/simd/<concept>_kernels.cpp is compiled once for every path,
// with CONV2D_PATH naming it, into a namespace of its own, and defines one constant table there; pick() chooses.
//
// These files must not instantiate inline functions or templates of the standard library that could be emitted out of
// line: the linker keeps one copy for the whole program, and that copy might hold instructions that the machine lacks.
// What they define for themselves stands in an anonymous namespace.
#pragma once

#include "conv2d/simd.hpp"

// Declares `extern const Table name` in the namespace of every path that is built.
#if defined(CONV2D_HAVE_AVX)
#define CONV2D_DECLARE_KERNELS(Table, name)                                                                            \
    namespace scalar {                                                                                                 \
    extern const Table name;                                                                                           \
    }                                                                                                                  \
    namespace avx2 {                                                                                                   \
    extern const Table name;                                                                                           \
    }                                                                                                                  \
    namespace avx512 {                                                                                                 \
    extern const Table name;                                                                                           \
    }
#define CONV2D_PICK_KERNELS(path, name)                                                                                \
    ((path) == ::conv2d::SimdPath::avx512 ? avx512::name                                                               \
     : (path) == ::conv2d::SimdPath::avx2 ? avx2::name                                                                 \
                                          : scalar::name)
#elif defined(CONV2D_HAVE_NEON)
#define CONV2D_DECLARE_KERNELS(Table, name)                                                                            \
    namespace scalar {                                                                                                 \
    extern const Table name;                                                                                           \
    }                                                                                                                  \
    namespace neon {                                                                                                   \
    extern const Table name;                                                                                           \
    }
#define CONV2D_PICK_KERNELS(path, name) ((path) == ::conv2d::SimdPath::neon ? neon::name : scalar::name)
#else
#define CONV2D_DECLARE_KERNELS(Table, name)                                                                            \
    namespace scalar {                                                                                                 \
    extern const Table name;                                                                                           \
    }
#define CONV2D_PICK_KERNELS(path, name) (static_cast<void>(path), scalar::name)
#endif
