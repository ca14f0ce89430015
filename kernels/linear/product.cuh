// SPDX-License-Identifier: Apache-2.0
// A matrix product on tensor cores: c (M,N) = a (M,K) b (K,N) [+ bias (N)], bf16 or f32, sums in f32 (kernels/common/tensor_core.cuh).
//
// A block of 128 threads makes a tile of 64 x 64 of c. It walks along K in steps of 64 bytes:
//   cp.async brings the next tiles of a and b into shared memory, three stages deep, while
//   ldmatrix takes fragments of the present ones, and
//   mma.sync multiplies: each of the four warps owns 32 x 32 of c, in registers. (Plain products of f32: fused multiply-adds, into the same registers.)
//
// bytes  a once per 64 columns of c, b once per 64 rows, c once       FLOP  2 M N K, for f32 by 3xtf32 three times that on the tensor cores
#pragma once
#include "kernels/common/tensor_core.cuh"

namespace isda::kernels {

struct ProductSizes {
  int M, N, K;
  // From one row in memory to the next, in elements.
  std::int64_t a_stride, b_stride;
};

namespace product {

constexpr int kThreads = 128, kStages = 3;
constexpr int kTile = 64;      // rows and columns of c that a block makes
constexpr int kWarpTile = 32;  // ... that a warp makes
constexpr int kRowTiles = kWarpTile / 16, kColumnTiles = kWarpTile / 8;

template <class T, Along along>
using Tile = tensor_core::Tile<T, along, kTile>;

template <class T, Along a_along, Along b_along>
constexpr std::size_t kSharedBytes = kStages*(Tile<T, a_along>::kElements + Tile<T, b_along>::kElements) * sizeof(T);

// Brings rows [row, row + kRows) and columns [column, column + kColumns) of a matrix to `tile`; zeros where it ends.
template <bool is_aligned, class T, Along along>
__device__ __forceinline__ void load_tile(T* tile, const T* matrix, std::int64_t stride, int row, int column, int rows, int columns) {
  using Shape = Tile<T, along>;
  // 16 bytes at a time where every row begins at a multiple of them, else an element at a time.
  constexpr int kChunk = is_aligned ? kPacked<T> : 1, kChunksInRow = Shape::kColumns / kChunk;
#pragma unroll 1
  for (int chunk = static_cast<int>(threadIdx.x); chunk < Shape::kRows * kChunksInRow; chunk += kThreads) {
    const int r = chunk / kChunksInRow, c = chunk % kChunksInRow * kChunk;
    const bool is_inside = row + r < rows && column + c < columns;
    const T* from = is_inside ? matrix + (row + r) * stride + column + c : matrix;
    T* to = tile + Shape::offset(r, c);
    if constexpr (kChunk * sizeof(T) >= 4)
      ptx::cp_async<kChunk* static_cast<int>(sizeof(T))>(to, from, is_inside);
    else
      *to = is_inside ? *from : T(0.0f);
  }
}

template <class T, class Result, Along a_along, Along b_along, bool is_aligned, F32Products products>
__global__ void __launch_bounds__(kThreads) kernel(const T* __restrict__ a, const T* __restrict__ b, const float* __restrict__ bias, Result* __restrict__ c,
                                                   const __grid_constant__ ProductSizes sizes) {
  using TileA = Tile<T, a_along>;
  using TileB = Tile<T, b_along>;
  SharedCarver carver;
  T* a_tiles = carver.template take<T>(kStages * TileA::kElements);
  T* b_tiles = carver.template take<T>(kStages * TileB::kElements);
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int first_row = static_cast<int>(blockIdx.x) * kTile, first_column = static_cast<int>(blockIdx.y) * kTile;
  const int steps = (sizes.K + TileA::kDepth - 1) / TileA::kDepth;

  const auto load_step = [&](int step) {
    if (step < steps) {
      T* a_tile = a_tiles + step % kStages * TileA::kElements;
      T* b_tile = b_tiles + step % kStages * TileB::kElements;
      const int k = step * TileA::kDepth;
      if constexpr (a_along == Along::k)
        load_tile<is_aligned, T, a_along>(a_tile, a, sizes.a_stride, first_row, k, sizes.M, sizes.K);
      else
        load_tile<is_aligned, T, a_along>(a_tile, a, sizes.a_stride, k, first_row, sizes.K, sizes.M);
      if constexpr (b_along == Along::k)
        load_tile<is_aligned, T, b_along>(b_tile, b, sizes.b_stride, first_column, k, sizes.N, sizes.K);
      else
        load_tile<is_aligned, T, b_along>(b_tile, b, sizes.b_stride, k, first_column, sizes.K, sizes.N);
    }
    // NOTE: behind the last step empty groups go on being committed, so that the wait below counts the same in every turn.
    ptx::cp_async_commit();
  };

  // Two steps are on their way before the first is used.
  for (int step = 0; step < kStages - 1; ++step) load_step(step);
  float sums[kRowTiles][kColumnTiles][4] = {};
  const int row_in_tile = warp / 2 * kWarpTile, column_in_tile = warp % 2 * kWarpTile;
  for (int step = 0; step < steps; ++step) {
    // This step's tiles have come, for every thread; and nobody reads any more the stage that is filled next.
    ptx::cp_async_wait<kStages - 2>();
    __syncthreads();
    load_step(step + kStages - 1);
    tensor_core::multiply_tiles<TileA, TileB, products>(a_tiles + step % kStages * TileA::kElements, b_tiles + step % kStages * TileB::kElements, row_in_tile,
                                                        column_in_tile, sums);
  }

  // Each lane stores its pairs of neighbours together where every pair is aligned.
  const bool stores_pairs = sizes.N % 2 == 0 && reinterpret_cast<std::uintptr_t>(c) % (2 * sizeof(Result)) == 0;
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
    for (int j = 0; j < kColumnTiles; ++j) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int row = first_row + row_in_tile + 16 * i + lane / 4 + 8 * half;
        const int column = first_column + column_in_tile + 8 * j + lane % 4 * 2;
        if (row >= sizes.M || column >= sizes.N) continue;
        Result* to = c + static_cast<std::int64_t>(row) * sizes.N + column;
        const bool has_second = column + 1 < sizes.N;
        const float pair[2] = {sums[i][j][2 * half] + (bias ? bias[column] : 0.0f), sums[i][j][2 * half + 1] + (bias && has_second ? bias[column + 1] : 0.0f)};
        if (stores_pairs) {
          store_packed(to, pair);
        } else {
          to[0] = from_float<Result>(pair[0]);
          if (has_second) to[1] = from_float<Result>(pair[1]);
        }
      }
    }
  }
}

inline bool is_aligned(const void* pointer, std::int64_t stride_bytes) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0 && stride_bytes % 16 == 0; }

}  // namespace product

// c = a b + bias. a is (M,K) row-major where a_along is k, else (K,M); b is (N,K) where b_along is k, else (K,N). bias may be null.
template <Along a_along, Along b_along, class T, class Result>
void multiply(const Context& context, const char* name, const T* a, const T* b, const float* bias, Result* c, std::int64_t M, std::int64_t N, std::int64_t K) {
  const ProductSizes sizes{.M = static_cast<int>(M),
                           .N = static_cast<int>(N),
                           .K = static_cast<int>(K),
                           .a_stride = a_along == Along::k ? K : M,
                           .b_stride = b_along == Along::k ? K : N};
  const LaunchShape shape{.name = name,
                          .grid = dim3(blocks_for(M, product::kTile), blocks_for(N, product::kTile)),
                          .block = product::kThreads,
                          .shared_bytes = product::kSharedBytes<T, a_along, b_along>};
  constexpr auto kBytes = static_cast<std::int64_t>(sizeof(T));
  const bool is_aligned = product::is_aligned(a, sizes.a_stride * kBytes) && product::is_aligned(b, sizes.b_stride * kBytes);
  dispatch_products<T>(context, [&]<F32Products products>() {
    const auto kernel =
        is_aligned ? product::kernel<T, Result, a_along, b_along, true, products> : product::kernel<T, Result, a_along, b_along, false, products>;
    launch(context, shape, kernel, a, b, bias, c, sizes);
  });
}

}  // namespace isda::kernels
