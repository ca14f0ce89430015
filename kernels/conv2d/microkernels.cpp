// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv2d/microkernels.h"

namespace isda::kernels::conv2d {

namespace {

const Microkernels& best() {
#if defined(ISDA_HAS_X86_KERNELS)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f")) return kAvx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return kAvx2;
#endif
  return kBaseline;
}

}  // namespace

const Microkernels& microkernels() {
  static const Microkernels& chosen = best();
  return chosen;
}

}  // namespace isda::kernels::conv2d
