#!/usr/bin/env bash
# Reads deploy/compose.yaml as docker compose does, and checks that mistakes in it are found.
# Usage: compose.sh. Needs Go and its module proxy.
set -uo pipefail
cd "$(dirname "$0")/compose"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
skip() { echo "SKIPPED compose: $1"; exit 77; }
command -v go >/dev/null || skip "there is no Go here"
if go mod download >"$log" 2>&1; then
  go test -count=1 ./...
else
  grep -q "Forbidden\|dial tcp\|no such host" "$log" && skip "Go's modules cannot be fetched here"
  cat "$log"
  exit 1
fi
