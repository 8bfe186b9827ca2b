#!/usr/bin/env bash
# Configures build/PRESET, quietly unless it fails. Usage: configure.sh PRESET
# A build directory that was copied or moved here with the tree belongs to another path: it is made anew.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=build/$1/CMakeCache.txt
if [[ -f $cache ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$PWD" "$cache"; then rm -rf "build/$1"; fi
mkdir -p build
cmake --preset "$1" >"build/configure-$1.log" 2>&1 || { cat "build/configure-$1.log" >&2; exit 1; }
