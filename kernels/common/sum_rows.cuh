// SPDX-License-Identifier: Apache-2.0
// sums[c] = sum over r of matrix[r,c], f32: the gradient of a bias, and the second launch of a sum that blocks shared out among them.
//
// A block takes 32 columns: lanes walk along a row (coalesced), 32 warps take every 32nd row; then the warps' sums are added from the first to the
// last. Reads the matrix once; the order of adding depends on the shape alone.
#pragma once
#include "kernels/common/simt.cuh"

namespace isda {

namespace sum_rows_of {

constexpr int kColumns = 32, kWarps = 32;

// blockIdx.y: the matrix, and where its sums go.
template <class T>
__global__ void __launch_bounds__(kColumns* kWarps)
    kernel(const T* __restrict__ matrices, int rows, std::int64_t columns, float* __restrict__ sums, float* __restrict__ sums_of_second) {
  SIMT_SHARED(partial, float[kWarps][kColumns]);
  const int lane = static_cast<int>(threadIdx.x) % kColumns, warp = static_cast<int>(threadIdx.x) / kColumns;
  const std::int64_t column = blockIdx.x * std::int64_t{kColumns} + lane;
  const T* matrix = matrices + blockIdx.y * rows * columns;
  float sum = 0;
  if (column < columns) {
#pragma unroll 8
    for (int row = warp; row < rows; row += kWarps) sum += to_float(matrix[row * columns + column]);
  }
  partial[warp][lane] = sum;
  __syncthreads();
  if (warp == 0 && column < columns) {
    for (int other = 1; other < kWarps; ++other) sum += partial[other][lane];
    (blockIdx.y == 0 ? sums : sums_of_second)[column] = sum;
  }
}

}  // namespace sum_rows_of

// With sums_of_second, a second matrix of the same shape lies behind the first.
template <class T>
void sum_rows(const Context& context, const char* name, const T* matrices, std::int64_t rows, std::int64_t columns, float* sums,
              float* sums_of_second = nullptr) {
  launch(context,
         {.name = name, .grid = dim3(blocks_for(columns, sum_rows_of::kColumns), sums_of_second ? 2 : 1), .block = sum_rows_of::kColumns * sum_rows_of::kWarps},
         sum_rows_of::kernel<T>, matrices, static_cast<int>(rows), columns, sums, sums_of_second);
}

}  // namespace isda
