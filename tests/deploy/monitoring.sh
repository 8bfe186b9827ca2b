#!/usr/bin/env bash
# Alerts, dashboards and metrics, by promtool and against a real Prometheus. Usage: monitoring.sh, with NASHSWARM_BIN_DIR set.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
if ! log=$("$root/deploy/install-packages.sh" monitoring 2>&1); then
  echo "SKIPPED monitoring: Prometheus cannot be installed here: $(tail -n 1 <<<"$log")"
  exit 77
fi
exec python3 "$root/tests/deploy/dashboards_test.py"
