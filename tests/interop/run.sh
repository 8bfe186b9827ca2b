#!/usr/bin/env bash
# Reads our artifacts with software we did not write: the gguf Python package and llama.cpp (from the xllamacpp wheel).
# Prints SKIPPED and why when these packages cannot be installed here. Usage: run.sh BIN_DIR
set -euo pipefail
bin=$(realpath "$1")
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=$root/build/interop-venv
stamp=$venv/installed-$(sha256sum "$root/tests/interop/requirements.txt" | cut -c1-16)

if [[ ! -f $stamp ]]; then
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  if ! { "$root/deploy/install-packages.sh" interop && rm -rf "$venv" && /usr/bin/python3 -m venv "$venv" &&
         "$venv/bin/pip" install -q --disable-pip-version-check -r "$root/tests/interop/requirements.txt"; } >"$log" 2>&1; then
    echo "SKIPPED interop: its Python packages cannot be installed here: $(tail -n 1 "$log")"
    exit 77
  fi
  touch "$stamp"
fi
exec "$venv/bin/python" "$root/tests/interop/interop_test.py" --bin "$bin" --root "$root"
