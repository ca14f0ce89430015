// SPDX-License-Identifier: Apache-2.0
#include "tests/emulator/libraries.h"

#include <cub/cub.cuh>

#include "kernels/common/simt.cuh"

namespace isda::libraries {

namespace {

__global__ void __launch_bounds__(kThreads) reduce_and_scan_kernel(const int* x, int* totals, int* largest, int* before, int* warp_totals) {
  using Reduce = cub::BlockReduce<int, kThreads>;
  using Scan = cub::BlockScan<int, kThreads>;
  using WarpReduce = cub::WarpReduce<int>;
  SIMT_SHARED(reduce_storage, typename Reduce::TempStorage);
  SIMT_SHARED(scan_storage, typename Scan::TempStorage);
  SIMT_SHARED(warp_storage, typename WarpReduce::TempStorage[kThreads / 32]);
  const int i = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  const int value = x[i];
  const int total = Reduce(reduce_storage).Sum(value);
  // The storage is used again: everybody must have read it.
  __syncthreads();
  const int maximum = Reduce(reduce_storage).Reduce(value, [](int a, int b) { return a < b ? b : a; });
  if (threadIdx.x == 0) {
    totals[blockIdx.x] = total;
    largest[blockIdx.x] = maximum;
  }
  Scan(scan_storage).ExclusiveSum(value, before[i]);
  const int warp_total = WarpReduce(warp_storage[threadIdx.x / 32]).Sum(value);
  if (threadIdx.x % 32 == 0) warp_totals[i / 32] = warp_total;
}

}  // namespace

void reduce_and_scan(const Context& context, const int* x, int blocks, int* totals, int* largest, int* before, int* warp_totals) {
  launch(context, {.name = "reduce_and_scan", .grid = static_cast<unsigned>(blocks), .block = kThreads}, reduce_and_scan_kernel, x, totals, largest, before,
         warp_totals);
}

}  // namespace isda::libraries
