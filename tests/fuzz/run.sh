#!/usr/bin/env bash
# Fuzzes every parser for SECONDS each, from its seed corpus. Usage: run.sh SECONDS
# New inputs are kept in build/fuzz/corpus; a crash leaves its input in build/fuzz/crashes and fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
seconds=$1
cmake/configure.sh fuzz
cmake --build --preset fuzz --target safetensors_fuzzer gguf_fuzzer tokenizer_fuzzer nsq_fuzzer -j "${JOBS:-$(nproc)}" >build/fuzz-build.log 2>&1 || { tail -n 40 build/fuzz-build.log >&2; exit 1; }
mkdir -p build/fuzz/crashes
failed=0
for target in safetensors gguf tokenizer nsq; do
  mkdir -p "build/fuzz/corpus/$target"
  log=build/fuzz/$target.log
  if build/fuzz/bin/${target}_fuzzer -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
      -artifact_prefix="build/fuzz/crashes/$target-" "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" >"$log" 2>&1; then
    echo "ok      fuzz $target: $(grep -oE 'Done [0-9]+ runs in [0-9]+ second' "$log" || tail -n 1 "$log")"
  else
    failed=1
    tail -n 40 "$log" >&2
    echo "FAILED  fuzz $target: its input is in build/fuzz/crashes"
  fi
done
exit $failed
