#!/usr/bin/env bash
# Builds the fuzz targets with clang's libFuzzer, address and undefined-behaviour sanitizers, and runs each of them.
#   bench/soak/fuzz.sh [--seconds S a target, 600] [--build FOLDER] [TARGET ...]
# An input that fails is left in FOLDER/failed: it is replayed by FOLDER/cpp/fuzz/fuzz_TARGET FILE, and once the fault is
# mended it goes to cpp/fuzz/corpus/TARGET, where every test run replays it.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=600
build=build/fuzz
targets=()
while [ $# -gt 0 ]; do
  case $1 in
    --seconds) seconds=$2; shift 2 ;;
    --build) build=$2; shift 2 ;;
    -*) echo "fuzz.sh got '$1', expected [--seconds S] [--build FOLDER] [TARGET ...]" >&2; exit 2 ;;
    *) targets+=("$1"); shift ;;
  esac
done
compiler=${CXX:-}
for name in clang++ clang++-{20,19,18,17,16,15,14}; do
  [ -n "$compiler" ] || compiler=$(command -v "$name" || true)
done
if [ -z "$compiler" ]; then
  echo "no clang++ on the PATH, expected one with libFuzzer; on Debian: apt-get install clang-14 libclang-rt-14-dev" >&2
  exit 5
fi
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_COMPILER="$compiler" -DCONV2D_BUILD_FUZZERS=ON \
  -DCONV2D_SANITIZE=address,undefined -DCONV2D_BUILD_BENCH=OFF > /dev/null
cmake --build "$build" --parallel "${CONV2D_JOBS:-2}"
if [ ${#targets[@]} -eq 0 ]; then
  for program in "$build"/cpp/fuzz/fuzz_*; do
    [ ! -x "$program" ] || targets+=("${program##*/fuzz_}")
  done
fi
mkdir -p "$build/failed"
for target in "${targets[@]}"; do
  found=$build/corpus/$target # grows from run to run
  mkdir -p "$found"
  kept=cpp/fuzz/corpus/$target
  [ -d "$kept" ] || kept=
  "$build/cpp/fuzz/fuzz_$target" -max_total_time="$seconds" -max_len=4096 -len_control=0 -timeout=20 -rss_limit_mb=2048 \
    -print_final_stats=1 -verbosity=0 -artifact_prefix="$build/failed/$target-" "$found" $kept 2> "$build/$target.log" || {
    tail -n 60 "$build/$target.log" >&2
    echo "fuzz $target: failed, the input is in $build/failed" >&2
    exit 1
  }
  echo "fuzz $target: $(awk '/number_of_executed_units/ {print $2}' "$build/$target.log") inputs in $seconds s, none fails"
done
