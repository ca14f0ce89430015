#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs a compilation by nvcc and keeps what ptxas says of each kernel beside the object, as OBJECT.ptxas; everything else is passed on.
#
#   scripts/keep_ptxas_report.sh OBJECT nvcc -Xptxas=-v ...
#
# The build calls it; scripts/kernel_resources.py reads the reports.
set -u

object=$1
shift
"$@" 2> "$object.ptxas"
status=$?
grep -v -e '^ptxas info' -e '^ *[0-9]* bytes stack frame' "$object.ptxas" >&2
exit $status
