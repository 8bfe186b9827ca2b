#!/usr/bin/env bash
# Reads deploy/compose.yaml as docker compose does, and checks that mistakes in it are found.
# Usage: compose.sh. Needs Go and its module proxy.
set -uo pipefail
cd "$(dirname "$0")/compose"
source ../../support/go_modules.sh
reason=$(go_modules .) || { echo "SKIPPED compose: $reason"; exit 77; }
exec go test -count=1 ./...
