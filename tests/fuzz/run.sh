#!/usr/bin/env bash
# Fuzzes every target for SECONDS each, JOBS of them at a time, from its seeds and from what earlier runs found.
# Usage: run.sh SECONDS. New inputs are kept in build/fuzz/corpus; a crash leaves its input in build/fuzz/crashes and fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
export seconds=$1
cmake/configure.sh fuzz
cmake --build --preset fuzz --target fuzzers -j "${JOBS:-$(nproc)}" >build/fuzz-build.log 2>&1 ||
  { tail -n 40 build/fuzz-build.log >&2; exit 1; }
mkdir -p build/fuzz/crashes

# The inputs are small and the process is fresh: more than 10 s, or 2 GB, for one of them is a bug.
fuzz_one() {
  local target=$1 log=build/fuzz/$1.log
  mkdir -p "build/fuzz/corpus/$target"
  if build/fuzz/bin/"${target}"_fuzzer -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
      -artifact_prefix="build/fuzz/crashes/$target-" "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" >"$log" 2>&1; then
    echo "ok      fuzz $target: $(grep -oE 'Done [0-9]+ runs in [0-9]+ second' "$log" || tail -n 1 "$log")"
  else
    tail -n 40 "$log" >&2
    echo "FAILED  fuzz $target: its input is in build/fuzz/crashes"
    return 1
  fi
}
export -f fuzz_one

# xargs fails when one of them has.
ls tests/fuzz/corpus | xargs -P "${JOBS:-$(nproc)}" -I{} bash -c 'fuzz_one {}'
