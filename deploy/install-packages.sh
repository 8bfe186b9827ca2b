#!/usr/bin/env bash
# Installs the Debian 12 packages that are missing. Usage: install-packages.sh programs|build|stores|interop|monitoring|container|browser
#   programs what building the programs needs
#   build    what building and testing needs
#   stores   what tests need of other software: stores (Swift's library has no service to start), and a gRPC client that is not ours
#   interop  what checking against software we did not write needs (Python's venv)
#   monitoring  Prometheus and promtool, for alerts and dashboards
#   container   what builds the image without a daemon, and makes its base
#   browser  what looking at the HTML report in a browser needs
set -euo pipefail

case "${1:-}" in
  programs|build)
    packages=(build-essential cmake ninja-build ccache pkg-config ca-certificates
      libgrpc++-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev libabsl-dev
      prometheus-cpp-dev libcivetweb-dev zlib1g-dev libsqlite3-dev libpq-dev libssl-dev libcurl4-openssl-dev libpugixml-dev
      nlohmann-json3-dev libcli11-dev libspdlog-dev libre2-dev libisal-dev libsentencepiece-dev libutf8proc-dev
      libpcre2-dev libyaml-cpp-dev libopenblas-dev libhwy-dev)
    [[ $1 == programs ]] || packages+=(git libgtest-dev libgmock-dev clang-14 libclang-rt-14-dev python3 curl)
    ;;
  stores)
    packages=(postgresql python3 python3-swift python3-grpcio python3-protobuf)
    ;;
  interop)
    packages=(python3 python3-venv)
    ;;
  monitoring)
    packages=(python3 prometheus)
    ;;
  container)
    packages=(python3 debootstrap podman buildah)
    ;;
  browser)
    packages=(python3 chromium fonts-dejavu-core)
    ;;
  *)
    echo "usage: install-packages.sh programs|build|stores|interop|monitoring|container|browser" >&2
    exit 2
    ;;
esac

missing=()
for package in "${packages[@]}"; do
  # "ii": installed and configured.
  [[ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null)" == ii* ]] || missing+=("$package")
done
((${#missing[@]} == 0)) && exit 0

echo "installing ${#missing[@]} packages: ${missing[*]}"
if [[ $EUID -ne 0 ]]; then
  echo "error: installing packages needs root; run: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 30 "$log" >&2
  exit 1
fi
