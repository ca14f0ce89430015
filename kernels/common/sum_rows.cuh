// SPDX-License-Identifier: Apache-2.0
// sums[c] = sum over r of matrix[r,c], f32: the gradient of a bias.
//
// A block takes 32 columns: lanes walk along a row (coalesced), 32 warps take every 32nd row; then the warps' sums are added from the first to the
// last. Reads the matrix once; the order of adding depends on the shape alone.
#pragma once
#include "kernels/common/simt.cuh"

namespace isda {

namespace sum_rows_of {

constexpr int kColumns = 32, kWarps = 32;

template <class T>
__global__ void __launch_bounds__(kColumns* kWarps) kernel(const T* __restrict__ matrix, int rows, std::int64_t columns, float* __restrict__ sums) {
  SIMT_SHARED(partial, float[kWarps][kColumns]);
  const int lane = static_cast<int>(threadIdx.x) % kColumns, warp = static_cast<int>(threadIdx.x) / kColumns;
  const std::int64_t column = blockIdx.x * std::int64_t{kColumns} + lane;
  float sum = 0;
  if (column < columns) {
#pragma unroll 8
    for (int row = warp; row < rows; row += kWarps) sum += to_float(matrix[row * columns + column]);
  }
  partial[warp][lane] = sum;
  __syncthreads();
  if (warp == 0 && column < columns) {
    for (int other = 1; other < kWarps; ++other) sum += partial[other][lane];
    sums[column] = sum;
  }
}

}  // namespace sum_rows_of

template <class T>
void sum_rows(const Context& context, const char* name, const T* matrix, std::int64_t rows, std::int64_t columns, float* sums) {
  launch(context, {.name = name, .grid = blocks_for(columns, sum_rows_of::kColumns), .block = sum_rows_of::kColumns * sum_rows_of::kWarps},
         sum_rows_of::kernel<T>, matrix, static_cast<int>(rows), columns, sums);
}

}  // namespace isda
