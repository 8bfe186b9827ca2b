#!/usr/bin/env bash
# Renders the Kubernetes overlays and checks them against the types of the API, KEDA and the Prometheus operator.
# Usage: manifests.sh, with NASHSWARM_BIN_DIR set. Needs Go and its module proxy, and kubectl (or builds kustomize).
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
tools=$root/build/tools
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
skip() { echo "SKIPPED manifests: $1"; exit 77; }
source "$root/tests/support/go_modules.sh"
reason=$(go_modules "$root/tests/deploy/manifests") || skip "$reason"
(cd "$root/tests/deploy/manifests" && go build -o "$tools/manifests" .) || exit 1
render() { kubectl kustomize "$1"; }
if ! command -v kubectl >/dev/null; then
  [[ -x $tools/kustomize ]] || GOBIN=$tools go install sigs.k8s.io/kustomize/kustomize/v5@v5.5.0 2>"$work/go.log" ||
    skip "neither kubectl nor kustomize can be had here"
  render() { "$tools/kustomize" build "$1"; }
fi
"$NASHSWARM_BIN_DIR/nashswarmd" --help >"$work/help" || exit 1
failed=0
for overlay in single ha; do
  if render "$root/deploy/kubernetes/overlays/$overlay" >"$work/$overlay.yaml" &&
    count=$("$tools/manifests" "$work/help" nashswarm-tls nashswarm-tokens nashswarm-stores <"$work/$overlay.yaml"); then
    echo "ok      overlay $overlay: $count"
  else
    echo "FAILED  overlay $overlay"
    failed=1
  fi
done
# Every dashboard is in the ConfigMap.
for dashboard in "$root"/deploy/monitoring/dashboards/*.json; do
  grep -q "^  $(basename "$dashboard"): " "$work/ha.yaml" || { echo "FAILED  $(basename "$dashboard") is not in the overlay ha"; failed=1; }
done
runbook=$(<"$root/deploy/monitoring/runbook.url")
(($(grep -c 'runbook_url: ' "$work/ha.yaml") > 0)) && ! grep 'runbook_url: ' "$work/ha.yaml" | grep -vF " $runbook#" ||
  { echo "FAILED  the overlay ha has alerts without an absolute runbook_url"; failed=1; }
(cd "$root/tests/deploy/manifests" && RENDERED=$work/ha.yaml HELP=$work/help go test -count=1 ./...) || failed=1
exit $failed
