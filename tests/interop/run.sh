#!/usr/bin/env bash
# Reads our artifacts and tokenizes with software we did not write: the gguf, tokenizers and sentencepiece Python packages and
# llama.cpp (from the xllamacpp wheel); nsq, which nobody else reads, with a reader made from its documents (it needs numpy
# alone). Prints SKIPPED and why when these packages cannot be installed here.
# Usage: run.sh BIN_DIR
set -uo pipefail
bin=$(realpath "$1") || exit 1
root=$(cd "$(dirname "$0")/../.." && pwd)
source "$root/tests/support/make_venv.sh"

failed=0 ran=0
# check NAME SCRIPT PYTHON: runs the script; without a Python, says why it cannot.
check() {
  if [[ -z $3 ]]; then
    echo "SKIPPED $1: its Python packages cannot be installed here: $(tail -n 1 "$root/build/interop-venv.log")"
    return
  fi
  ran=1
  "$3" "$root/tests/interop/$2" --bin "$bin" --root "$root" || failed=1
}
python=$(make_venv interop-venv "$root/tests/interop/requirements.txt")
check interop interop_test.py "$python"
check "tokenizer interop" tokenizer_interop.py "$python"
check "vocabulary interop" vocabulary_interop.py "$python"
check "nsq interop" nsq_interop.py "$python"

((failed == 0)) || exit 1
((ran == 1)) || exit 77
