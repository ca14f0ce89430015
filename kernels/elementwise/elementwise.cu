// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/simt.cuh"
#include "kernels/elementwise/elementwise.h"

namespace isda::kernels {

namespace {

template <class T>
__global__ void __launch_bounds__(256) relu_kernel(const T* __restrict__ x, T* __restrict__ y, long count) {
  const long i = static_cast<long>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < count) {
    const float value = to_float(x[i]);
    y[i] = from_float<T>(value < 0 ? 0.0f : value);
  }
}

}  // namespace

void run(Cuda, const Context& context, const Relu& op) {
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    launch(context, {.name = "relu", .grid = blocks_for(op.x.size(), 256), .block = 256}, relu_kernel<T>, elements<T>(op.x), elements<T>(op.y), op.x.size());
  });
}

}  // namespace isda::kernels
