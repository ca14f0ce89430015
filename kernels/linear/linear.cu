// SPDX-License-Identifier: Apache-2.0
// The linear layer on the card: three products of product.cuh, and the sum over samples for the bias.
#include "kernels/linear/linear.h"

#include "kernels/linear/product.cuh"

namespace isda::kernels {

namespace {

constexpr int kColumns = 32, kRows = 8;

// dbias[c] = sum over n of dy[n,c]. A block takes 32 columns: lanes walk along a row (coalesced), eight warps take every eighth row; then the
// warps' sums are added from the first to the last. Reads dy once.
template <class T>
__global__ void __launch_bounds__(kColumns* kRows) sum_rows_kernel(const T* __restrict__ dy, float* __restrict__ dbias, int N, int C) {
  SIMT_SHARED(partial, float[kRows][kColumns]);
  const int lane = static_cast<int>(threadIdx.x) % kColumns, warp = static_cast<int>(threadIdx.x) / kColumns;
  const int column = static_cast<int>(blockIdx.x) * kColumns + lane;
  float sum = 0;
  if (column < C) {
    for (int row = warp; row < N; row += kRows) sum += to_float(dy[static_cast<std::int64_t>(row) * C + column]);
  }
  partial[warp][lane] = sum;
  __syncthreads();
  if (warp == 0 && column < C) {
    for (int other = 1; other < kRows; ++other) sum += partial[other][lane];
    dbias[column] = sum;
  }
}

}  // namespace

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
    if (op.dbias) {
      launch(context, {.name = "linear_backward_bias", .grid = blocks_for(C, kColumns), .block = kColumns * kRows}, sum_rows_kernel<T>, dy,
             op.dbias.as<float>(), static_cast<int>(N), static_cast<int>(C));
    }
  });
}

}  // namespace isda::kernels
