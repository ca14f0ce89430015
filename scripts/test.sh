#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds everything with warnings as errors, and runs every test.
#
#   scripts/test.sh                        all tests
#   scripts/test.sh -R isda                those whose name matches (whatever ctest understands)
#   scripts/test.sh --sanitize address     the C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer
#   scripts/test.sh --sanitize thread      the C++ tests under ThreadSanitizer
#   scripts/test.sh --sanitize memory      the kernels on the emulated card under clang's MemorySanitizer
#   scripts/test.sh --floors 'kernels core'    only the C++ tests of these floors; after --sanitize
#   scripts/test.sh --coverage             line coverage by floor (scripts/coverage.sh)
#
# The last lines are ctest's own.
set -euo pipefail
cd "$(dirname "$0")/.."

preset=ci
selection=()
case "${1:-}" in
  --sanitize)
    case "${2:-}" in
      address) preset=asan ;;
      thread) preset=tsan ;;
      memory) preset=msan ;;
      *)
        printf 'test: --sanitize takes address, thread or memory, got "%s"\n' "${2:-}" >&2
        exit 2
        ;;
    esac
    shift 2
    # What is written in Python sees nothing of a sanitizer that the C++ tests do not.
    selection=(-LE python)
    ;;
  --coverage)
    shift
    exec scripts/coverage.sh "$@"
    ;;
  -h | --help)
    sed -n '3,13s/^# \{0,1\}//p' scripts/test.sh
    exit 0
    ;;
esac

targets=()
# NOTE: only what runs on the card is watched for uninitialised memory.
[ "$preset" != msan ] || set -- --floors 'kernels emulator' "$@"
if [ "${1:-}" = --floors ]; then
  : "${2:?the names of floors, in one argument}"
  for floor in $2; do targets+=("test_$floor"); done
  selection=(-R "^(${2// /|})\\.")
  shift 2
fi

if [ "$preset" = msan ]; then scripts/setup.sh --clang; else scripts/setup.sh; fi
scripts/build.sh "$preset" "${targets[@]}"

# NOTE: tests run side by side; a thread that waits must not spin on a core another test could use.
export OMP_WAIT_POLICY=passive
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
# NOTE: GCC's ThreadSanitizer does not start where the kernel randomises more address bits than it knows of; setarch turns that off.
fixed_addresses=()
if [ "$preset" = tsan ] && setarch -R true 2> /dev/null; then fixed_addresses=(setarch -R); fi

export PATH=$PWD/build/tools/bin:$PATH
exec "${fixed_addresses[@]}" ctest --test-dir "build/$preset" --output-on-failure --no-tests=error --parallel "$(nproc)" "${selection[@]}" "$@"
