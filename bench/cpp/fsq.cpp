#include "harness.hpp"

#include "conv2d/fsq.hpp"

#include <cstring>
#include <random>

namespace conv2d::bench {

void bench_fsq(Harness &harness) {
    const std::vector<std::vector<std::int64_t>> lattices{{8, 6, 5}, {8, 5, 5, 5}};
    for (const auto &levels : lattices) {
        const FsqLattice fsq(levels);
        const std::size_t dimensions = levels.size();
        for (const std::size_t rows : {std::size_t{1}, std::size_t{16}, std::size_t{256}, std::size_t{100'000}}) {
            std::string name = "_";
            for (const std::int64_t count : levels) {
                name += std::to_string(count);
            }
            name += "/" + std::to_string(rows);
            std::mt19937 random(1);
            std::normal_distribution<float> normal;
            std::vector<float> z(rows * dimensions);
            for (float &value : z) {
                value = normal(random);
            }
            std::vector<std::int32_t> codes(rows);
            std::vector<float> margins(rows);
            std::vector<float> values(rows * dimensions);
            const Matrix<const float> points{z.data(), rows, dimensions};
            const auto vectors = static_cast<double>(rows);
            harness.measure("fsq_encode" + name, vectors, "vector", [&] {
                fsq.encode<std::int32_t>(points, codes);
                keep(codes);
            });
            harness.measure("fsq_margin" + name, vectors, "vector", [&] {
                fsq.margin(points, margins);
                keep(margins);
            });
            // As many bytes read and written together as encode reads and writes: what it could be at best.
            const std::size_t bytes = rows * (dimensions * sizeof(float) + sizeof(std::int32_t)) / 2;
            std::vector<std::byte> from(bytes, std::byte{1});
            std::vector<std::byte> to(bytes);
            harness.measure("copy_of_fsq_encode" + name, vectors, "vector", [&] {
                std::memcpy(to.data(), from.data(), bytes);
                keep(to);
            });
        }
    }
}

} // namespace conv2d::bench
