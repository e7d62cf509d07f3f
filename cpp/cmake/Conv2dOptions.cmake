# Compile options shared by the library, its tests, the benchmark and the Python module (target conv2d_options).

# NaN and -inf carry meaning here (missing data, impossible states): flags that let the compiler assume them away
# are refused rather than silently overridden. The headers check the macros of the compiler once more.
set(_conv2d_forbidden "-ffast-math|-Ofast|-ffinite-math-only|-funsafe-math-optimizations|-fassociative-math|-freciprocal-math|-fno-signed-zeros|-ffp-contract=fast|-ffp-contract=on")
foreach(_flags CMAKE_CXX_FLAGS CMAKE_CXX_FLAGS_DEBUG CMAKE_CXX_FLAGS_RELEASE CMAKE_CXX_FLAGS_RELWITHDEBINFO CMAKE_CXX_FLAGS_MINSIZEREL)
  if(" ${${_flags}} " MATCHES " (${_conv2d_forbidden}) ")
    message(FATAL_ERROR "${_flags} holds ${CMAKE_MATCH_1}, expected strict IEEE arithmetic; remove that flag")
  endif()
endforeach()

add_library(conv2d_options INTERFACE)
target_compile_features(conv2d_options INTERFACE cxx_std_20)
# Contraction into fused multiply-adds would move rounding, and with it FSQ thresholds and ties, between machines.
target_compile_options(conv2d_options INTERFACE -ffp-contract=off -Wall -Wextra -Wconversion -Wshadow)
# GCC 12 and 13 see overlaps in std::string concatenation that are not there (GCC bug 105651).
target_compile_options(conv2d_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
if(CONV2D_WERROR)
  target_compile_options(conv2d_options INTERFACE -Werror)
endif()
if(CONV2D_SANITIZE) # -O1: what sanitizers watch takes many times as long to optimise further
  target_compile_options(conv2d_options INTERFACE -fsanitize=${CONV2D_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g -O1)
  target_link_options(conv2d_options INTERFACE -fsanitize=${CONV2D_SANITIZE})
endif()
if(CONV2D_BUILD_FUZZERS)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "CONV2D_BUILD_FUZZERS is ON with ${CMAKE_CXX_COMPILER_ID}, expected clang, which has libFuzzer; "
      "configure with -DCMAKE_CXX_COMPILER=clang++")
  endif()
  target_compile_options(conv2d_options INTERFACE -fsanitize=fuzzer-no-link) # coverage, which steers the inputs
  target_link_options(conv2d_options INTERFACE -fsanitize=fuzzer-no-link)
endif()
