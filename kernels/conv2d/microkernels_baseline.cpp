// SPDX-License-Identifier: Apache-2.0
// The inner loops for every machine (SSE2 on x86-64, NEON on ARM); this folder's CMake rules give this file its compiler flags.
#define ISDA_LANES 4
#define ISDA_NAME "baseline"
#define ISDA_TABLE kBaseline
#include "kernels/conv2d/microkernels.inc"
