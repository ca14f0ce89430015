// SPDX-License-Identifier: Apache-2.0
// The inner loops for AVX2 and FMA; this folder's CMake rules give this file its compiler flags.
#include "kernels/conv2d/microkernels.h"
#if defined(ISDA_HAS_X86_KERNELS)
#define ISDA_LANES 8
#define ISDA_NAME "avx2"
#define ISDA_TABLE kAvx2
#include "kernels/conv2d/microkernels.inc"
#endif
