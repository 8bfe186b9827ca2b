#!/usr/bin/env bash
# Opens sample reports in a headless Chromium. Prints SKIPPED and why when Chromium cannot be installed here.
# Usage: run.sh REPORT_SAMPLE [SCREENSHOTS]   (the program that writes the samples; where pictures of them are kept)
set -euo pipefail
sample=$(realpath "$1")
root=$(cd "$(dirname "$0")/../.." && pwd)
pictures=${2:-$root/build/browser}

log=$(mktemp)
reports=$(mktemp -d)
trap 'rm -rf "$log" "$reports"' EXIT
if ! command -v chromium >/dev/null && ! "$root/deploy/install-packages.sh" browser >"$log" 2>&1; then
  echo "SKIPPED browser: Chromium cannot be installed here: $(tail -n 1 "$log")"
  exit 77
fi
mkdir -p "$pictures"
"$sample" "$reports"
python3 "$root/tests/browser/report_browser_test.py" "$reports" "$pictures"
