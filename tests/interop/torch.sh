#!/usr/bin/env bash
# Compares our forward pass and `eval` with transformers on torch. These packages are several gigabytes, so they are installed
# (into build/torch-venv) only when asked for: make interop-torch. What they computed once for tiny models is recorded in
# tests/data/forward, and the unit tests compare with that everywhere.
# Usage: torch.sh BIN_DIR
#   NASHSWARM_TORCH_PYTHON   a Python that has torch and transformers
#   NASHSWARM_INSTALL_TORCH  not empty: install them
set -uo pipefail
bin=$(realpath "$1") || exit 1
root=$(cd "$(dirname "$0")/../.." && pwd)
venv=$root/build/torch-venv
python=${NASHSWARM_TORCH_PYTHON:-$venv/bin/python}
if [[ ! -x $python && -n ${NASHSWARM_INSTALL_TORCH:-} ]]; then
  "$root/deploy/install-packages.sh" interop && /usr/bin/python3 -m venv "$venv" &&
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$root/tests/interop/torch_requirements.txt" || exit 1
fi
if ! "$python" -c 'import torch, transformers' 2>/dev/null; then
  echo "SKIPPED: no torch and transformers here; make interop-torch installs them, or set NASHSWARM_TORCH_PYTHON"
  exit 77
fi
status=0
for check in forward_interop.py eval_interop.py; do
  "$python" "$root/tests/interop/$check" --bin "$bin" --root "$root" || status=1
done
exit $status
