// Runs a fuzz target without libFuzzer: on the files and folders that are named, then on random inputs that are the
// same at every run, so that each target is a test wherever there is a compiler.
#include "input.hpp"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

namespace {

using Bytes = std::vector<std::uint8_t>;

std::string last; // file that each input is written to before it runs, so that one which fails is left there

void run(const Bytes &bytes) {
    if (!last.empty()) {
        std::ofstream(last, std::ios::binary)
            .write(reinterpret_cast<const char *>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

void run_file(const std::filesystem::path &path) {
    std::ifstream file(path, std::ios::binary);
    run(Bytes(std::istreambuf_iterator<char>(file), {}));
}

// Most inputs are short; half of them repeat few values, since ties and runs are where kernels go wrong.
Bytes random_bytes(std::mt19937_64 &random) {
    const std::size_t sizes[] = {0, 16, 64, 256, 1024, 4096};
    Bytes bytes(random() % (sizes[random() % 6] + 1));
    const std::uint64_t kinds = random() % 2 == 0 ? 256 : 1 + random() % 4;
    for (auto &byte : bytes) {
        byte = static_cast<std::uint8_t>(random() % kinds * (kinds == 256 ? 1 : 63));
    }
    return bytes;
}

} // namespace

int main(int argc, char **argv) {
    std::size_t inputs = 0;
    for (int i = 1; i < argc; ++i) {
        if (std::strncmp(argv[i], "-last=", 6) == 0) {
            last = argv[i] + 6;
        } else if (std::strncmp(argv[i], "-runs=", 6) == 0) {
            std::mt19937_64 random(1);
            for (long runs = std::atol(argv[i] + 6); runs > 0; --runs, ++inputs) {
                run(random_bytes(random));
            }
        } else if (std::filesystem::is_directory(argv[i])) {
            for (const auto &entry : std::filesystem::directory_iterator(argv[i])) {
                run_file(entry.path());
                ++inputs;
            }
        } else if (std::filesystem::is_regular_file(argv[i])) {
            run_file(argv[i]);
            ++inputs;
        } else {
            std::fprintf(stderr, "replay got '%s', expected [-last=FILE] [-runs=N] [FILE or FOLDER ...]\n", argv[i]);
            return 2;
        }
    }
    std::printf("%zu inputs\n", inputs);
    return inputs > 0 ? 0 : 1;
}
