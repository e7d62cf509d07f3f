// doctest where it is installed, else the macros of it that these tests use.
#pragma once

#ifdef CONV2D_HAVE_DOCTEST
#include <doctest/doctest.h>
#else
#include "fallback_doctest.hpp"
#endif

#include <cmath>
#include <exception>
#include <string>

namespace conv2d::tests {

// Equal, or both finite and no further apart than `tolerance` of their size.
inline bool close(double got, double expected, double tolerance = 1e-9) {
    return got == expected || std::abs(got - expected) <= tolerance * (1.0 + std::abs(expected));
}

// What a call throws says, or "" when it throws nothing.
template <typename Call> std::string message_of(Call &&call) {
    try {
        call();
    } catch (const std::exception &error) {
        return error.what();
    }
    return "";
}

} // namespace conv2d::tests
