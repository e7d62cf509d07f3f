// The tables of one number of levels, found once and kept for the life of the program.
#pragma once

#include "simd/fsq_kernels.hpp"

#include <cstdint>
#include <vector>

namespace conv2d::detail {

struct FsqLevelTables {
    std::vector<float> edges;
    std::vector<float> values;
    std::vector<float> cell_threshold;
    std::vector<std::int32_t> cell_digits;
    simd::FsqColumn column{}; // points to the tables above; its stride is left to the lattice
};

// Throws std::invalid_argument for levels outside 2 .. 255.
[[nodiscard]] const FsqLevelTables &fsq_level_tables(std::int64_t levels);

} // namespace conv2d::detail
