#include "harness.hpp"

#include "conv2d/fsq.hpp"

#include <cstring>
#include <random>

namespace conv2d::bench {
namespace {

// As many bytes as encoding reads and writes, copied: the bandwidth that no encoder can pass.
void bench_copy(Harness &harness, const std::string &name, std::size_t rows, std::size_t dimensions) {
    const std::size_t bytes = rows * (dimensions + 1) * sizeof(float) / 2;
    std::vector<char> from(bytes, 1);
    std::vector<char> to(bytes);
    harness.measure("copy/" + name, static_cast<double>(rows), "vector", [&] {
        std::memcpy(to.data(), from.data(), bytes);
        keep(to);
    });
}

void bench_lattice(Harness &harness, const std::vector<std::int64_t> &levels, std::size_t rows) {
    const FsqLattice fsq(levels);
    const std::size_t d = levels.size();
    std::string name;
    for (const std::int64_t count : levels) {
        name += (name.empty() ? "" : "x") + std::to_string(count);
    }
    name += "/" + std::to_string(rows);
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    std::vector<float> z(rows * d);
    std::generate(z.begin(), z.end(), [&] { return normal(random); });
    std::vector<std::int32_t> codes(rows);
    std::vector<float> values(rows * d);
    std::vector<float> margins(rows);
    const Matrix<const float> points{z.data(), rows, d};
    const auto vectors = static_cast<double>(rows);
    harness.measure("fsq_encode/" + name, vectors, "vector", [&] {
        fsq.encode<std::int32_t>(points, codes);
        keep(codes);
    });
    bench_copy(harness, "fsq_encode/" + name, rows, d);
    harness.measure("fsq_margin/" + name, vectors, "vector", [&] {
        fsq.margin(points, margins);
        keep(margins);
    });
    harness.measure("fsq_quantize/" + name, vectors, "vector", [&] {
        fsq.quantize<std::int32_t>(points, codes, {values.data(), rows, d}, margins);
        keep(codes);
    });
    harness.measure("fsq_decode/" + name, vectors, "vector", [&] {
        fsq.decode<std::int32_t>(codes, {values.data(), rows, d});
        keep(values);
    });
}

} // namespace

void bench_fsq(Harness &harness) {
    for (const std::size_t rows : {std::size_t{1}, std::size_t{21}, std::size_t{100'000}, std::size_t{3'000'000}}) {
        bench_lattice(harness, {8, 6, 5}, rows);
        bench_lattice(harness, {8, 5, 5, 5}, rows);
    }
    bench_lattice(harness, {7, 5, 5, 5, 5}, 100'000);
    bench_lattice(harness, {16, 16}, 100'000);
    bench_lattice(harness, {255, 255, 255}, 100'000);
}

} // namespace conv2d::bench
