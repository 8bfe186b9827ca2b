#!/usr/bin/env bash
# What is slow, or needs more than Debian's packages: the image, manifests, alerts and dashboards, pipelines, the README.
# One line at the end counts them.
set -uo pipefail
cd "$(dirname "$0")/../.."
export NASHSWARM_BIN_DIR=$PWD/build/release/bin NASHSWARM_SOURCE_DIR=$PWD
passed=0 failed=0 skipped=0
mkdir -p build/test-logs
for name in monitoring manifests compose pipelines readme_test container_test; do
  echo "== $name"
  program=$(ls tests/deploy/"$name".{sh,py} 2>/dev/null | head -n 1)
  log=build/test-logs/deploy-$name.log since=$SECONDS
  status=0
  if [[ $name == container_test && -n ${SKIP_CONTAINER:-} ]]; then
    echo "SKIPPED container: $SKIP_CONTAINER; run make test-deploy" >"$log"
    status=77
  else
    timeout 2400 "$program" >"$log" 2>&1 || status=$?
  fi
  cat "$log"
  echo "(took $((SECONDS - since)) s)"
  case $status in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)) ;;
    *) failed=$((failed + 1)); echo "FAILED  $name" ;;
  esac
done
echo
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
