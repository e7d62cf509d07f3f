#include "harness.hpp"

#include "conv2d/fsq.hpp"

#include <random>

namespace conv2d::bench {

void bench_fsq(Harness &harness) {
    const FsqLattice fsq(std::vector<std::int64_t>{8, 5, 5, 5});
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (const std::size_t rows : {std::size_t{1}, std::size_t{256}, std::size_t{100'000}}) {
        std::vector<float> z(rows * 4);
        std::generate(z.begin(), z.end(), [&] { return normal(random); });
        std::vector<std::int32_t> codes(rows);
        std::vector<float> margins(rows);
        const Matrix<const float> points{z.data(), rows, 4};
        const auto vectors = static_cast<double>(rows);
        harness.measure("fsq_encode/" + std::to_string(rows), vectors, "vector", [&] {
            fsq.encode<std::int32_t>(points, codes);
            keep(codes);
        });
        harness.measure("fsq_margin/" + std::to_string(rows), vectors, "vector", [&] {
            fsq.margin(points, margins);
            keep(margins);
        });
    }
}

} // namespace conv2d::bench
