// SPDX-License-Identifier: Apache-2.0
// Between the type of the features and f32, in which the head computes: N * A elements, next to nothing beside the covariances.
#pragma once
#include "kernels/common/simt.cuh"

namespace isda::kernels {

namespace convert {

constexpr int kThreads = 256;

template <class To, class From>
__global__ void __launch_bounds__(kThreads) kernel(const From* __restrict__ from, To* __restrict__ to, std::int64_t count) {
  const std::int64_t i = blockIdx.x * std::int64_t{kThreads} + threadIdx.x;
  if (i < count) to[i] = from_float<To>(to_float(from[i]));
}

}  // namespace convert

template <class To, class From>
void convert_elements(const Context& context, const From* from, To* to, std::int64_t count) {
  launch(context, LaunchShape{.name = "isda_convert", .grid = blocks_for(count, convert::kThreads), .block = convert::kThreads}, convert::kernel<To, From>,
         from, to, count);
}

// The view itself where it is f32, else a copy in scratch memory. What the card does not compute in is refused in the name of the operation.
inline ConstView as_f32(const Context& context, Scratch& scratch, const char* operation, const ConstView& view) {
  return dispatch_cuda(operation, view.type(), [&]<class T>() {
    if constexpr (std::is_same_v<T, float>) {
      return view;
    } else {
      float* copy = scratch.take<float>(view.size());
      convert_elements(context, elements<T>(view), copy, view.size());
      return ConstView(copy, DType::f32, view.shape());
    }
  });
}

}  // namespace isda::kernels
