#ifdef CONV2D_HAVE_DOCTEST
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "check.hpp"
#else
#include "check.hpp"

int main(int argc, char **argv) { return conv2d::tests::fallback::run(argc, argv); }
#endif
