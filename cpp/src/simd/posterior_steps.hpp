// What the kernels of forward-backward share: reading scores, the change of states, sums of rows.
#pragma once

#include "f64_math.hpp"

namespace conv2d::simd::CONV2D_PATH {
namespace {

constexpr double kLaneNumbers[] = {0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0};

inline F64 zero() { return broadcast(0.0); }

// Lanes of the states that exist.
inline M64 lanes_of(std::size_t k, std::size_t states) {
    return greater(broadcast(static_cast<double>(states - k)), load(kLaneNumbers));
}

// Scores of the states from k on, `otherwise` for those that do not exist. `readable` is what lies behind `scores`.
inline F64 scores_at(const double *scores, std::size_t k, std::size_t states, std::size_t readable, double otherwise) {
    if (k + F64::lanes <= states) {
        return load(scores + k);
    }
    if (k + F64::lanes <= readable) {
        return select(lanes_of(k, states), load(scores + k), broadcast(otherwise));
    }
    double rest[F64::lanes];
    for (std::size_t lane = 0; lane < F64::lanes; ++lane) {
        rest[lane] = k + lane < states ? scores[k + lane] : otherwise;
    }
    return load(rest);
}

// out[j] = sum over i of from[i] * rows[i][j], in four chains by i modulo 4.
inline F64 changed(const double *from, const double *rows, std::size_t states, std::size_t width) {
    F64 chains[4] = {zero(), zero(), zero(), zero()};
    std::size_t i = 0;
    for (; i + 4 <= states; i += 4) {
        for (std::size_t n = 0; n < 4; ++n) {
            chains[n] = fma(broadcast(from[i + n]), load(rows + (i + n) * width), chains[n]);
        }
    }
    for (std::size_t n = 0; i + n < states; ++n) {
        chains[n] = fma(broadcast(from[i + n]), load(rows + (i + n) * width), chains[n]);
    }
    return add(add(chains[0], chains[1]), add(chains[2], chains[3]));
}

// The sum of a row in one order on every path: by state modulo 8, then these 8 as a tree.
inline double row_sum(const double *row, std::size_t states) {
    constexpr std::size_t parts = 8 / F64::lanes;
    F64 sums[parts];
    for (F64 &sum : sums) {
        sum = zero();
    }
    for (std::size_t k = 0; k < states; k += F64::lanes) {
        F64 &sum = sums[k / F64::lanes % parts];
        sum = add(sum, load(row + k));
    }
    double s[8];
    for (std::size_t i = 0; i < parts; ++i) {
        store(s + i * F64::lanes, sums[i]);
    }
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

// Writes a row (width) times `factor` to out (states).
inline void store_row(double *out, const double *row, std::size_t states, F64 factor) {
    std::size_t k = 0;
    for (; k + F64::lanes <= states; k += F64::lanes) {
        store(out + k, mul(load(row + k), factor));
    }
    if (k < states) {
        double rest[F64::lanes];
        store(rest, mul(load(row + k), factor));
        for (std::size_t lane = 0; k + lane < states; ++lane) {
            out[k + lane] = rest[lane];
        }
    }
}

} // namespace
} // namespace conv2d::simd::CONV2D_PATH
