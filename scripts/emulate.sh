#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Compiles one CUDA file with a main() for the emulated card and runs it: no GPU, no nvcc.
#
#   scripts/emulate.sh race.cu ARGUMENTS...
#   scripts/emulate.sh --sanitize address race.cu    under AddressSanitizer: accesses out of bounds
#   scripts/emulate.sh --sanitize thread race.cu     under ThreadSanitizer: missing barriers
#   scripts/emulate.sh --counts race.cu              and print what each kernel did: bytes, bank conflicts, divergence
#   scripts/emulate.sh --no-run race.cu              only compile, without optimisation: for a debugger; prints the program's name
#
# ISDA_EMULATOR_ORDER=forward|reverse|pct, ISDA_EMULATOR_SEED=N and ISDA_EMULATOR_STREAMS=immediate|deferred choose the schedule.
# docs/emulator.md tells the rest.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

mode=plain is_run=1 counts=
while [ $# -gt 0 ]; do
  case "$1" in
    --sanitize) mode=${2:?address or thread} && shift ;;
    --counts) mode=counted counts=1 ;;
    --no-run) mode=debug is_run= ;;
    -*) mode=unknown && break ;;
    *) break ;;
  esac
  shift
done
case "$mode" in
  plain) kernel_flags=(-O1) runtime_flags=() ;;
  debug) kernel_flags=(-O0) runtime_flags=() ;;
  address) kernel_flags=(-O1 -fsanitize=address,undefined --param=asan-use-after-return=0) runtime_flags=(-DISDA_EMULATOR_ADDRESS) ;;
  thread) kernel_flags=(-O1 -fsanitize=thread) runtime_flags=(-DISDA_EMULATOR_THREAD) ;;
  counted) kernel_flags=(-O1 -fsanitize=thread -fsanitize-coverage=trace-pc -Wno-tsan) runtime_flags=(-DISDA_EMULATOR_COUNTED) ;;
  *)
    sed -n '3,13s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
source=${1:?a .cu file}
shift

headers=${ISDA_CUDA_HEADERS:-}
for folder in "$root/build/tools/cuda" /usr/local/cuda/include; do
  if [ -z "$headers" ] && [ -e "$folder/cuda_runtime.h" ]; then headers=$folder; fi
done
if [ -z "$headers" ]; then
  printf 'emulate: no headers of the CUDA runtime; run scripts/setup.sh\n' >&2
  exit 1
fi

common=(-std=c++20 -g -Wall -Wextra -Wno-unknown-pragmas -Wno-missing-field-initializers -fopenmp "-fmacro-prefix-map=$root/=" -I"$root"
  -isystem "$root/kernels/emulator/vendor" -isystem "$headers")
out=$root/build/emulate/$mode
# What is not instrumented is the same with and without optimisation of the file.
runtime=$root/build/emulate/runtime${runtime_flags[*]/#-DISDA_EMULATOR/}
mkdir -p "$out" "$runtime"

# compile OBJECT SOURCE FLAGS...: unless the object is newer than every source of the floor.
compile() {
  local object=$1 from=$2
  shift 2
  if [ -e "$object" ] && [ -z "$(find -L "$root/kernels/common" "$root/kernels/emulator" "$from" -newer "$object" -type f -print -quit)" ]; then return; fi
  g++ "${common[@]}" "$@" -x c++ -c "$from" -o "$object"
}

# The emulator itself, never with a sanitizer; then the card, and the file.
objects=()
for from in "$root"/kernels/emulator/*.cpp; do
  objects+=("$runtime/emulator_$(basename "$from").o")
  compile "$runtime/emulator_$(basename "$from").o" "$from" -O2 "${runtime_flags[@]}" &
done
for from in "$root"/kernels/common/{context,shape,trace}.cpp "$root/kernels/common/cuda_device.cu"; do
  objects+=("$runtime/$(basename "$from").o")
  compile "$runtime/$(basename "$from").o" "$from" -O2 &
done
name=$(basename "$source" .cu)
compile "$out/$name.o" "$source" "${kernel_flags[@]}" "${runtime_flags[@]}" &
for job in $(jobs -p); do wait "$job"; done
link=(-fopenmp)
case "$mode" in address | thread) link+=("${kernel_flags[@]:1:1}") ;; esac
g++ "${link[@]}" "$out/$name.o" "${objects[@]}" -lfmt -o "$out/$name"

if [ -z "$is_run" ]; then
  printf '%s\n' "$out/$name"
  exit
fi
[ -z "$counts" ] || export ISDA_EMULATOR_COUNTS=1
# NOTE: GCC's ThreadSanitizer does not start where the kernel randomises more address bits than it knows of; setarch turns that off.
if [ "$mode" = thread ] && setarch -R true 2> /dev/null; then exec setarch -R "$out/$name" "$@"; fi
exec "$out/$name" "$@"
