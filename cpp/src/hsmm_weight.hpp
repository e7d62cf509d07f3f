// One weight of any size as a pair, for the few that are added one at a time; the kernels have them by the vector.
#pragma once

#include "conv2d/numeric.hpp"

#include <cmath>

namespace conv2d::detail {

// mantissa * 2^exponent; the exponent is a whole number. Not normalised, but near 1 after each operation here.
struct Weight {
    static constexpr double kNoExponent = -1e300; // of zero, as in the kernels

    double mantissa = 0.0;
    double exponent = kNoExponent;

    // exp(score), for scores that are -inf or no further from zero than 2^50.
    [[nodiscard]] static Weight of_log(double score) {
        if (score == kNever) {
            return {};
        }
        const double e = std::nearbyint(score * 0x1.71547652b82fep+0);
        return {std::exp(std::fma(e, -0x1.abc9e3b39803fp-56, std::fma(e, -0x1.62e42fefa39efp-1, score))), e};
    }

    [[nodiscard]] bool is_zero() const { return mantissa == 0.0; }

    [[nodiscard]] Weight operator*(Weight other) const {
        if (is_zero() || other.is_zero()) {
            return {};
        }
        return Weight{mantissa * other.mantissa, exponent + other.exponent}.normal();
    }

    Weight &operator+=(Weight other) {
        if (other.is_zero()) {
            return *this;
        }
        if (is_zero()) {
            return *this = other;
        }
        const bool above = exponent >= other.exponent;
        const Weight high = above ? *this : other;
        const Weight low = above ? other : *this;
        const double apart = high.exponent - low.exponent;
        const double moved = apart < 1000.0 ? std::ldexp(low.mantissa, -static_cast<int>(apart)) : 0.0;
        return *this = Weight{high.mantissa + moved, high.exponent}.normal();
    }

    [[nodiscard]] Weight inverse() const { return Weight{1.0 / mantissa, -exponent}.normal(); }

    [[nodiscard]] double value() const {
        if (is_zero() || exponent < -1100.0) {
            return 0.0;
        }
        return exponent > 1100.0 ? HUGE_VAL : std::ldexp(mantissa, static_cast<int>(exponent));
    }

    [[nodiscard]] double log() const {
        return is_zero() ? kNever : std::fma(exponent, 0x1.62e42fefa39efp-1, std::log(mantissa));
    }

  private:
    [[nodiscard]] Weight normal() const {
        const int shift = std::ilogb(mantissa);
        return {std::ldexp(mantissa, -shift), exponent + shift};
    }
};

} // namespace conv2d::detail
