#!/usr/bin/env bash
# Kernels alone, then whole programs. Put llama-quantize on the PATH to have it measured in the same run.
set -euo pipefail
cd "$(dirname "$0")/../.."
build/release/bin/quant_bench
build/release/bin/nsq_bench
build/release/bin/routing_bench
build/release/bin/coding_bench
python3 tests/bench/bench.py --bin build/release/bin "$@"
