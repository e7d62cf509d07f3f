// Tables of durations in the form that the kernels of forward-backward read.
#pragma once

#include "hsmm_workspace.hpp"
#include "simd/posterior_kernels.hpp"

#include <cstddef>
#include <functional>

namespace conv2d::detail {

class DurationTable {
  public:
    DurationTable() = default;
    // log_weights(state) points at `longest` scores, element d - 1 is duration d.
    DurationTable(const std::function<const double *(std::size_t)> &log_weights, std::size_t states, std::size_t width,
                  std::size_t longest);

    [[nodiscard]] const simd::DurationChunks &chunks() const { return chunks_; }

    // False when a score is too far from the others for the kernels.
    [[nodiscard]] bool within() const { return within_; }

  private:
    WorkBlock memory_;
    simd::DurationChunks chunks_;
    bool within_ = true;
};

} // namespace conv2d::detail
