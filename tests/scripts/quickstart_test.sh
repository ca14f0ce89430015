#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tests scripts/quickstart.sh in small: two trainings and a table of both; a second call trains nothing and says the same.
#
#   tests/scripts/quickstart_test.sh build/ci/isda
set -euo pipefail
program=$(realpath "$1")
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export OMP_WAIT_POLICY=passive

quickstart() { scripts/quickstart.sh --isda "$program" --epochs 1 --train 250 --test 100 --output "$folder/run" "$@"; }
die() {
  printf 'quickstart_test: %s\n' "$1" >&2
  cat "$folder/first" >&2
  exit 1
}

quickstart > "$folder/first" 2>&1 || die 'the first call failed'
for name in cross-entropy ISDA; do
  grep -Eq "^$name +[0-9]+\.[0-9]+ % +[0-9]+\.[0-9]+ +[0-9]+\.[0-9]+ +[0-9]+\.[0-9]+$" "$folder/first" || die "no row for $name"
done
# Epoch 0 of ISDA is plain cross-entropy: from the same seed both rows must agree in all but the seconds.
figures() { awk -v name="$1" '$1 == name {print $2, $4, $5}' "$folder/first"; }
[ "$(figures cross-entropy)" = "$(figures ISDA)" ] || die 'one epoch of ISDA differs from one of cross-entropy'

quickstart > "$folder/second" 2>&1 || die 'the second call failed'
[ "$(grep -c 'done before' "$folder/second")" = 2 ] || die 'the second call trained again'
table() { sed -n '/ after .* epochs, on /,$p' "$1"; }
[ -n "$(table "$folder/first")" ] && [ "$(table "$folder/first")" = "$(table "$folder/second")" ] || die 'the second call told other figures'
! quickstart --epoks 3 > "$folder/third" 2>&1 || die 'an unknown option was taken'
