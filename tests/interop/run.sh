#!/usr/bin/env bash
# Reads our artifacts and tokenizes with software we did not write: the gguf, tokenizers and sentencepiece Python packages and
# llama.cpp (from the xllamacpp wheel); nsq, which nobody else reads, with a reader made from its documents (it needs numpy
# alone). Prints SKIPPED and why when these packages cannot be installed here.
# Usage: run.sh BIN_DIR
set -uo pipefail
bin=$(realpath "$1") || exit 1
root=$(cd "$(dirname "$0")/../.." && pwd)
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# make_venv NAME REQUIREMENTS: prints the Python of build/NAME with these packages; on failure the log says why.
make_venv() {
  local venv=$root/build/$1 requirements=$root/tests/interop/$2
  local stamp=$venv/installed-$(sha256sum "$requirements" | cut -c1-16)
  if [[ ! -f $stamp ]]; then
    { "$root/deploy/install-packages.sh" interop && rm -rf "$venv" && /usr/bin/python3 -m venv "$venv" &&
      "$venv/bin/pip" install -q --disable-pip-version-check -r "$requirements"; } >"$log" 2>&1 || return 1
    touch "$stamp"
  fi
  echo "$venv/bin/python"
}

failed=0 ran=0
# check NAME SCRIPT PYTHON: runs the script; without a Python, says why it cannot.
check() {
  if [[ -z $3 ]]; then
    echo "SKIPPED $1: its Python packages cannot be installed here: $(tail -n 1 "$log")"
    return
  fi
  ran=1
  "$3" "$root/tests/interop/$2" --bin "$bin" --root "$root" || failed=1
}
python=$(make_venv interop-venv requirements.txt)
check interop interop_test.py "$python"
check "tokenizer interop" tokenizer_interop.py "$python"
check "nsq interop" nsq_interop.py "$python"

((failed == 0)) || exit 1
((ran == 1)) || exit 77
