#!/usr/bin/env bash
# The examples in deploy/pipelines. Usage: pipelines.sh, with NASHSWARM_BIN_DIR set. actionlint checks the GitHub workflow where Go can
# fetch it.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
source "$root/tests/support/make_venv.sh"
if ! python=$(make_venv pipelines-venv "$root/tests/deploy/requirements-pipelines.txt"); then
  echo "SKIPPED pipelines: their Python packages cannot be installed here: $(tail -n 1 "$root/build/pipelines-venv.log")"
  exit 77
fi
linter=$root/build/tools/actionlint
if [[ ! -x $linter ]]; then
  GOBIN=$(dirname "$linter") go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12 >/dev/null 2>&1 ||
    echo "SKIPPED actionlint: it cannot be installed here"
fi
[[ -x $linter ]] && export ACTIONLINT=$linter
exec "$python" -W ignore "$root/tests/deploy/pipelines_test.py"
