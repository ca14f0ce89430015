#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Configures and builds one preset of CMakePresets.json into build/PRESET.
#
#   scripts/build.sh release isda     the program: build/release/isda
#   scripts/build.sh ci               everything: program, tests, benches
set -euo pipefail
cd "$(dirname "$0")/.."

preset=${1:?the name of a preset, see CMakePresets.json}
shift
# scripts/setup.sh puts a recent CMake there where the system's is too old.
export PATH=$PWD/build/tools/bin:$PATH

log=build/configure_$preset.log
mkdir -p build
cmake --preset "$preset" > "$log" 2>&1 || {
  cat "$log" >&2
  printf 'build: configuring failed; is everything installed? scripts/setup.sh does that\n' >&2
  exit 1
}
cmake --build --preset "$preset" --parallel "$(nproc)" ${1:+--target "$@"}
