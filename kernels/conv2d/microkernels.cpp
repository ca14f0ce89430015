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

const Microkernels*& chosen() {
  static const Microkernels* table = &best();
  return table;
}

}  // namespace

const Microkernels& microkernels() { return *chosen(); }

UseMicrokernels::UseMicrokernels(const Microkernels& table) : before_(microkernels()) { chosen() = &table; }
UseMicrokernels::~UseMicrokernels() { chosen() = &before_; }

}  // namespace isda::kernels::conv2d
