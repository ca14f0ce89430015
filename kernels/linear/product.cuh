// SPDX-License-Identifier: Apache-2.0
// A matrix product on tensor cores: c (M,N) = a (M,K) b (K,N) [+ bias (N)], bf16 or f32, sums in f32.
//
// A block of 128 threads makes a tile of 64 x 64 of c. It walks along K in steps of 64 bytes:
//   cp.async brings the next tiles of a and b into shared memory, three stages deep, while
//   ldmatrix takes fragments of the present ones, and
//   mma.sync multiplies: each of the four warps owns 32 x 32 of c, in registers.
//
// bf16: m16n8k16. f32: three TF32 products (m16n8k8) that keep f32's digits: a = a_high + a_low with 11 bits each, and
//   a b = a_low b_high + a_high b_low + a_high b_high; what is left out is below 2^-22 of the product.
//   (Ootomo, Yokota, Recovering Single Precision Accuracy from Tensor Cores, 2022; the small terms first)
//
// bytes  a once per 64 columns of c, b once per 64 rows, c once       FLOP  2 M N K, for f32 three times that on the tensor cores
// Within a row of a tile the 16-byte pieces change places by a pattern that differs from row to row (a swizzle): so neither the eight rows that
// ldmatrix reads at once nor the pieces that cp.async writes meet in a bank, and no byte of shared memory is left empty.
#pragma once
#include "kernels/common/ptx.cuh"
#include "kernels/common/simt.cuh"

namespace isda::kernels {

// How an operand lies in memory: with neighbours along K side by side (x and weight of the forward pass), or along its other extent.
enum class Along { k, other };

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

// One operand's tile in shared memory: `kRows` rows of `kColumns` elements, in the order they have in memory.
template <class T, Along along>
struct Tile {
  static constexpr int kDepth = 64 / static_cast<int>(sizeof(T));  // of K
  static constexpr int kRows = along == Along::k ? kTile : kDepth, kColumns = along == Along::k ? kDepth : kTile;
  static constexpr int kElements = kRows * kColumns;

  // Where an element lies. Pieces of 16 bytes are exchanged within the row:
  //   rows of 64 bytes: two rows fill the banks, so pairs of rows differ;   of 128 bytes: every row differs;
  //   of 256 bytes (f32, read by single words, lane = (group, thread) row `thread`, column `group`): by 32 bytes from row to row.
  __device__ __forceinline__ static int offset(int row, int column) {
    constexpr int kRowBytes = kColumns * static_cast<int>(sizeof(T));
    const int pattern = kRowBytes == 64 ? row / 2 % 4 : kRowBytes == 128 ? row % 8 : row % 4 * 2;
    return row * kColumns + (column / kPacked<T> ^ pattern) * kPacked<T> + column % kPacked<T>;
  }
};

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

// The fragment of a at rows m.., depth k.. of the tile: 16 x 16 of bf16, 16 x 8 of f32 (registers: kernels/emulator/ptx.cpp).
template <class T, Along along>
__device__ __forceinline__ void load_a(std::uint32_t (&a)[4], const T* tile, int m, int k) {
  using Shape = Tile<T, along>;
  constexpr int kHalf = kPacked<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if constexpr (along == Along::k) {
    // Matrices: rows 0-7 and 8-15 of the first half of the depth, then of the second.
    ptx::ldmatrix_x4(a, tile + Shape::offset(m + lane % 16, k + lane / 16 * kHalf));
  } else if constexpr (sizeof(T) == 2) {
    ptx::ldmatrix_x4_trans(a, tile + Shape::offset(k + lane % 8 + lane / 16 * 8, m + lane / 8 % 2 * 8));
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] = __float_as_uint(tile[Shape::offset(k + lane % 4 + 4 * (i / 2), m + lane / 4 + 8 * (i % 2))]);
  }
}

// The fragments of b at depth k.., columns n..n+15 of the tile: two of 16 x 8 of bf16, 8 x 8 of f32.
template <class T, Along along>
__device__ __forceinline__ void load_b(std::uint32_t (&b)[4], const T* tile, int n, int k) {
  using Shape = Tile<T, along>;
  constexpr int kHalf = kPacked<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if constexpr (along == Along::k) {
    // Matrices: both halves of the depth of columns 0-7, then of columns 8-15.
    ptx::ldmatrix_x4(b, tile + Shape::offset(n + lane % 8 + lane / 16 * 8, k + lane / 8 % 2 * kHalf));
  } else if constexpr (sizeof(T) == 2) {
    ptx::ldmatrix_x4_trans(b, tile + Shape::offset(k + lane % 16, n + lane / 16 * 8));
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) b[i] = __float_as_uint(tile[Shape::offset(k + lane % 4 + 4 * (i % 2), n + lane / 4 + 8 * (i / 2))]);
  }
}

// f32 as a sum of two TF32 numbers.
template <int count>
__device__ __forceinline__ void split(const std::uint32_t (&value)[count], std::uint32_t (&high)[count], std::uint32_t (&low)[count]) {
#pragma unroll
  for (int i = 0; i < count; ++i) {
    high[i] = ptx::to_tf32(__uint_as_float(value[i]));
    low[i] = ptx::to_tf32(__uint_as_float(value[i]) - __uint_as_float(high[i]));
  }
}

// What one warp adds to its part of c from one step along K.
template <class T, Along a_along, Along b_along>
__device__ __forceinline__ void multiply_tiles(const T* a_tile, const T* b_tile, int m, int n, float (&c)[kRowTiles][kColumnTiles][4]) {
  constexpr int kDepthOfProduct = 32 / static_cast<int>(sizeof(T));
#pragma unroll
  for (int k = 0; k < Tile<T, a_along>::kDepth; k += kDepthOfProduct) {
    std::uint32_t a[kRowTiles][4], b[kColumnTiles / 2][4];
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) load_a<T, a_along>(a[i], a_tile, m + 16 * i, k);
#pragma unroll
    for (int j = 0; j < kColumnTiles / 2; ++j) load_b<T, b_along>(b[j], b_tile, n + 16 * j, k);
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int j = 0; j < kColumnTiles; ++j) {
        const std::uint32_t b_pair[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
        if constexpr (sizeof(T) == 2) {
          ptx::mma_m16n8k16_bf16(c[i][j], a[i], b_pair);
        } else {
          std::uint32_t a_high[4], a_low[4], b_high[2], b_low[2];
          split(a[i], a_high, a_low);
          split(b_pair, b_high, b_low);
          ptx::mma_m16n8k8_tf32(c[i][j], a_low, b_high);
          ptx::mma_m16n8k8_tf32(c[i][j], a_high, b_low);
          ptx::mma_m16n8k8_tf32(c[i][j], a_high, b_high);
        }
      }
    }
  }
}

template <class T, class Result, Along a_along, Along b_along, bool is_aligned>
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
    multiply_tiles<T, a_along, b_along>(a_tiles + step % kStages * TileA::kElements, b_tiles + step % kStages * TileB::kElements, row_in_tile, column_in_tile,
                                        sums);
  }

  // Each lane holds pairs of neighbours in rows lane/4 and lane/4 + 8 of each 16 x 8, and stores them together where every pair is aligned.
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
  launch(context, shape, is_aligned ? product::kernel<T, Result, a_along, b_along, true> : product::kernel<T, Result, a_along, b_along, false>, a, b, bias, c,
         sizes);
}

}  // namespace isda::kernels
