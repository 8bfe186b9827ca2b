#!/usr/bin/env bash
# Starts a real server, compresses the bundled checkpoint to four sizes through it, and prints what came out.
# Usage: deploy/demo.sh [CHECKPOINT_DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/build/release/bin
model=${1:-tests/data/gpt2-wiki-6m}
work=$(mktemp -d)
server=
cleanup() {
  if [[ -n $server ]]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap cleanup EXIT

"$bin/nashswarmd" --data "$work/data" --listen 127.0.0.1:0 --metrics 127.0.0.1:0 --info-file "$work/info.json" \
  2>"$work/server.log" &
server=$!
for _ in $(seq 100); do
  [[ -s $work/info.json ]] && break
  kill -0 "$server" 2>/dev/null || { cat "$work/server.log" >&2; exit 1; }
  sleep 0.1
done
address=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["grpc"])' "$work/info.json")
metrics=$(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["metrics"])' "$work/info.json")
echo "nashswarmd is serving on $address (metrics: http://$metrics/metrics)"
echo

for bits in 4.5 3.5 3.0; do
  "$bin/nashswarm" --server "$address" compress "$model" -o "$work/out-$bits" --bpw "$bits" --json >"$work/$bits.json"
done
"$bin/nashswarm" --server "$address" compress "$model" -o "$work/out-nsq" --bpw 2.98 --format nsq --json >"$work/2.98.json"
python3 - "$work"/4.5.json "$work"/3.5.json "$work"/3.0.json "$work"/2.98.json <<'PY'
import json, sys
rows = [("bits asked", "format", "file bytes", "bits a weight", "saved of FP32", "saved of source", "relative error", "seconds")]
for path in sys.argv[1:]:
    r = json.load(open(path))
    asked = path.rsplit("/", 1)[1][:-5]
    rows.append((asked, r["format"], f'{r["bytes"]:,}', f'{r["bits_per_weight"]:.4f}', f'{100 * r["ratio_fp32"]:.2f} %',
                 f'{100 * r["ratio_source"]:.2f} %', f'{r["relative_error"]:.5f}', f'{r["seconds"]:.2f}'))
width = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
for row in rows:
    print("  ".join(cell.rjust(w) for cell, w in zip(row, width)))
PY
echo
"$bin/nashswarm" verify "$work/out-3.5"
"$bin/nashswarm" verify "$work/out-nsq"
echo
echo "What the server counted:"
curl -s "http://$metrics/metrics" | grep -E '^nashswarm_(jobs|upload_bytes|download_bytes|tensors)' | head -n 12 || true
echo
echo "Yours next:  $(realpath --relative-to="$PWD" "$bin")/nashswarm compress CHECKPOINT_DIR -o OUT --bpw 4.5"
