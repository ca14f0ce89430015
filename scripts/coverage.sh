#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Line coverage of the C++ tests, floor by floor, by gcov and gcovr.
#
#   scripts/coverage.sh          fails where kernels, core, layers or losses are covered below 90 %
#   scripts/coverage.sh 95       another threshold
#
# build/coverage/report.txt lists the lines no test reaches. Declarations of cases (case.cpp) are tests and do not count.
# Training to a stated accuracy is left out: with every line counted it takes longer than all the rest.
set -euo pipefail
cd "$(dirname "$0")/.."
threshold=${1:-90}

scripts/setup.sh --dev
scripts/build.sh coverage
find build/coverage -name '*.gcda' -delete
export PATH=$PWD/build/tools/bin:$PATH OMP_WAIT_POLICY=passive
ctest --test-dir build/coverage --output-on-failure --no-tests=error --parallel "$(nproc)" -LE python -E LearnsTheShapes

gcovr --root . --object-directory build/coverage --filter '(kernels|core|layers|losses|models|datasets|training|apps)/' --exclude '.*/case\.cpp' \
  --txt build/coverage/report.txt --json-summary build/coverage/summary.json build/coverage
python3 scripts/coverage_table.py build/coverage/summary.json --at-least "$threshold" kernels core layers losses
