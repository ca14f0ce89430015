// SPDX-License-Identifier: Apache-2.0
// The linear layer on the card: three products of product.cuh, and the sum over samples for the bias.
#include "kernels/linear/linear.h"

#include "kernels/common/check.h"
#include "kernels/common/sum_rows.cuh"
#include "kernels/linear/product.cuh"

namespace isda::kernels {

namespace {

// NOTE: C and A become rows and columns of results, and a grid has 65535 rows of tiles.
void check_card_limits(const char* operation, const ConstView& x, const ConstView& weight) {
  constexpr std::int64_t kMostColumns = std::int64_t{65535} * product::kTile;
  check_on_card(operation, "N", "x", x, x.extent(0));
  check_on_card(operation, "C", "weight", weight, weight.extent(0), kMostColumns);
  check_on_card(operation, "A", "weight", weight, weight.extent(1), kMostColumns);
}

}  // namespace

void run(Cuda, const Context& context, const Linear& op) {
  check_card_limits(op.name, op.x, op.weight);
  const std::int64_t N = op.x.extent(0), A = op.x.extent(1), C = op.weight.extent(0);
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    multiply<Along::k, Along::k>(context, "linear", elements<T>(op.x), elements<T>(op.weight), op.bias.as<float>(), elements<T>(op.y), N, C, A);
  });
}

void run(Cuda, const Context& context, const LinearBackward& op) {
  check_card_limits(op.name, op.x, op.weight);
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
