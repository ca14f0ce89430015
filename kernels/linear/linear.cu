// SPDX-License-Identifier: Apache-2.0
// The linear layer on the card: three products of product.cuh, and the sum over samples for the bias.
#include "kernels/linear/linear.h"

#include "kernels/common/sum_rows.cuh"
#include "kernels/linear/product.cuh"

namespace isda::kernels {

void run(Cuda, const Context& context, const Linear& op) {
  const std::int64_t N = op.x.extent(0), A = op.x.extent(1), C = op.weight.extent(0);
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    multiply<Along::k, Along::k>(context, "linear", elements<T>(op.x), elements<T>(op.weight), op.bias.as<float>(), elements<T>(op.y), N, C, A);
  });
}

void run(Cuda, const Context& context, const LinearBackward& op) {
  const std::int64_t N = op.x.extent(0), A = op.x.extent(1), C = op.weight.extent(0);
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    const float* no_bias = nullptr;
    const T* dy = elements<T>(op.dy);
    if (op.dx) multiply<Along::k, Along::other>(context, "linear_backward_x", dy, elements<T>(op.weight), no_bias, elements<T>(op.dx), N, A, C);
    if (op.dweight) multiply<Along::other, Along::other>(context, "linear_backward_weight", dy, elements<T>(op.x), no_bias, op.dweight.as<float>(), C, A, N);
    if (op.dbias) sum_rows(context, "linear_backward_bias", dy, N, C, op.dbias.as<float>());
  });
}

}  // namespace isda::kernels
