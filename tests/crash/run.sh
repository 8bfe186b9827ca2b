#!/usr/bin/env bash
# The long crash run, on both stores, and without fencing, where it must find damage. Usage: run.sh SECONDS
set -uo pipefail
cd "$(dirname "$0")/../.."
export NASHSWARM_BIN_DIR=$PWD/build/release/bin NASHSWARM_SOURCE_DIR=$PWD
deploy/install-packages.sh stores || exit 1
failed=0
run() {
  python3 tests/crash/crash_test.py "$@"
  local status=$?
  ((status == 0 || status == 77)) || failed=1
}
for store in sqlite postgres; do
  run --store "$store" --seconds "$1"
  run --store "$store" --seconds "$1" --only-stops
done
echo "without fencing, where damage is expected:"
run --store sqlite --seconds 30 --only-stops --program build/release/tests/nashswarmd_unfenced --expect-damage
exit $failed
