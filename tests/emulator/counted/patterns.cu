// SPDX-License-Identifier: Apache-2.0
#include "tests/emulator/counted/patterns.h"

#include "kernels/common/simt.cuh"

namespace isda::patterns {

namespace {

__global__ void copy_kernel(const float* x, float* y, int stride) { y[threadIdx.x * stride] = x[threadIdx.x * stride]; }

__global__ void shared_kernel(float* y, int stride) {
  SIMT_SHARED(words, float[32 * 33]);
  words[threadIdx.x * stride] = static_cast<float>(threadIdx.x);
  __syncthreads();
  y[threadIdx.x] = words[threadIdx.x * stride];
}

__global__ void wide_kernel(float* y) {
  SIMT_SHARED(words, float[128]);
  float values[4] = {1, 2, 3, 4};
  store_packed(&words[4 * threadIdx.x], values);
  __syncwarp();
  load_packed(&words[4 * threadIdx.x], values);
  y[threadIdx.x] = values[0] + values[3];
}

__global__ void branch_kernel(float* y, int lanes) {
  if (static_cast<int>(threadIdx.x) < lanes) {
    y[threadIdx.x] = 1;
  } else {
    y[threadIdx.x] = 2;
    y[threadIdx.x + 32] = 3;
  }
}

}  // namespace

void copy_strided(const Context& context, const float* x, float* y, int stride) {
  launch(context, {.name = "copy", .grid = 1, .block = 32}, copy_kernel, x, y, stride);
}
void shared_strided(const Context& context, float* y, int stride) { launch(context, {.name = "shared", .grid = 1, .block = 32}, shared_kernel, y, stride); }
void shared_wide(const Context& context, float* y) { launch(context, {.name = "wide", .grid = 1, .block = 32}, wide_kernel, y); }
void branch(const Context& context, float* y, int lanes) { launch(context, {.name = "branch", .grid = 1, .block = 32}, branch_kernel, y, lanes); }

}  // namespace isda::patterns
