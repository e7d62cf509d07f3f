#ifdef CONV2D_HAVE_DOCTEST
#define DOCTEST_CONFIG_IMPLEMENT
#endif
#include "check.hpp"

#include "conv2d/simd.hpp"

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace {

constexpr int kSkipped = 77; // what CTest counts as skipped

} // namespace

// CONV2D_SIMD names the path to run on; one that this machine lacks is skipped, since CTest has an entry for each.
int main(int argc, char **argv) {
    if (const char *name = std::getenv("CONV2D_SIMD"); name != nullptr && *name != '\0') {
        static_cast<void>(conv2d::simd_path_of(name)); // an unknown name is a mistake
        try {
            static_cast<void>(conv2d::simd_path());
        } catch (const std::invalid_argument &absent) {
            std::printf("skipped: %s\n", absent.what());
            return kSkipped;
        }
    }
#ifdef CONV2D_HAVE_DOCTEST
    return doctest::Context(argc, argv).run();
#else
    return conv2d::tests::fallback::run(argc, argv);
#endif
}
