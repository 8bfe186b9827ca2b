#!/usr/bin/env bash
# Builds and installs the package as a user would, checks its types, and runs its tests. Usage: run.sh BIN_DIR
#   NASHSWARM_TORCH_PYTHON   a Python that has torch and transformers, for what needs them (else build/torch-venv)
set -uo pipefail
bin=$(realpath "$1") || exit 1
here=$(cd "$(dirname "$0")" && pwd) root=$(cd "$(dirname "$0")/../../.." && pwd)
export NASHSWARM_BIN_DIR=$bin NASHSWARM_SOURCE_DIR=$root PYTHONDONTWRITEBYTECODE=1
source "$root/tests/support/make_venv.sh"
if ! python=$(make_venv python-venv "$here/requirements.txt"); then
  echo "SKIPPED python: its packages cannot be installed here: $(tail -n 1 "$root/build/python-venv.log")"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# From a copy, so that the build leaves nothing in the tree: the source distribution, the wheel from that, installed.
mkdir "$work/client" && cp -r "$root/client/python" "$work/client/" && cp -r "$root/proto" "$root/CMakeLists.txt" "$work"
"$python" -m build --no-isolation --outdir "$work/dist" "$work/client/python" >"$work/log" 2>&1 &&
  "$python" -m pip install -q --disable-pip-version-check --force-reinstall --no-deps "$work"/dist/*.whl >>"$work/log" 2>&1 ||
  { cat "$work/log"; echo "FAILED  the package does not build"; exit 1; }
failed=0
# What a user does: pip finds everything that the wheel asks for.
if "$python" -m venv "$work/fresh" && "$work/fresh/bin/pip" install -q --disable-pip-version-check "$work"/dist/*.whl >"$work/log" 2>&1; then
  (cd "$work" && "$work/fresh/bin/python" -c 'import nashswarm; print("ok      installs into a fresh environment:", nashswarm.Client.__name__)') || failed=1
else
  cat "$work/log"
  echo "FAILED  the wheel does not install into a fresh environment"
  failed=1
fi
(cd "$root/client/python" && "$python" -m mypy --cache-dir "$work/mypy" -p nashswarm) || failed=1
(cd "$here" && "$python" -m unittest discover -p '*_test.py') || failed=1
torch=${NASHSWARM_TORCH_PYTHON:-$root/build/torch-venv/bin/python}
if "$torch" -c 'import torch, transformers' 2>/dev/null; then
  "$torch" -m pip install -q --disable-pip-version-check --force-reinstall --no-deps "$work"/dist/*.whl &&
    "$torch" -m pip install -q --disable-pip-version-check grpcio protobuf tqdm &&
    (cd "$here" && "$torch" nsq_test.py -k transformers) || failed=1
else
  echo "SKIPPED transformers: no torch here; make interop-torch installs it, or set NASHSWARM_TORCH_PYTHON"
fi
exit $failed
