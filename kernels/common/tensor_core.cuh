// SPDX-License-Identifier: Apache-2.0
// What a matrix product on tensor cores is made of: tiles of its operands in shared memory, fragments of them in registers, and their products.
//
//   c (M,N) += a (M,K) b (K,N), bf16 or f32, sums in f32; a step along K is 64 bytes deep: 32 of bf16, 16 of f32
//
// bf16: m16n8k16. f32 (kernels/common/f32_products.h):
//   3xtf32   three TF32 products (m16n8k8) that keep f32's digits: a = a_high + a_low with 11 bits each, and
//            a b = a_low b_high + a_high b_low + a_high b_high; what is left out is below 2^-22 of the product.
//            (Ootomo, Yokota, Recovering Single Precision Accuracy from Tensor Cores, 2022; the small terms first)
//   tf32     a_high b_high alone
//   plain    fused multiply-adds from the same tiles, into the same registers as the tensor cores'
// A kernel has its way as a template parameter, which dispatch_products() finds: as a branch within one kernel the other ways would cost 3xtf32 some tens
// of registers.
//
// Within a row of a tile the 16-byte pieces change places by a pattern that differs from row to row (a swizzle): so neither the eight rows that
// ldmatrix reads at once nor the pieces that cp.async writes meet in a bank, and no byte of shared memory is left empty.
#pragma once
#include "kernels/common/f32_products.h"
#include "kernels/common/ptx.cuh"
#include "kernels/common/simt.cuh"

namespace isda {

// How an operand lies in memory: with neighbours along K side by side, or along its other extent (M of a, N of b).
enum class Along { k, other };

namespace tensor_core {

// One operand's tile in shared memory: `kRows` rows of `kColumns` elements, in the order they have in memory.
template <class T, Along along, int other_extent>
struct Tile {
  using Element = T;
  static constexpr Along kAlong = along;
  static constexpr int kDepth = 64 / static_cast<int>(sizeof(T));  // of K
  static constexpr int kRows = along == Along::k ? other_extent : kDepth, kColumns = along == Along::k ? kDepth : other_extent;
  static constexpr int kElements = kRows * kColumns;

  // Where an element lies. Pieces of 16 bytes are exchanged within the row, so that these reads meet in no bank:
  //   by ldmatrix, eight rows, one piece of each: a row of 128 bytes fills the banks, so every row differs; of 64 every second, of 32 every fourth;
  //   f32 along its other extent, by single words, lane = (group, thread) row `thread`, column `group`: by 32 bytes from row to row.
  __device__ __forceinline__ static int offset(int row, int column) {
    constexpr int kRowBytes = kColumns * static_cast<int>(sizeof(T));
    int pattern;
    if constexpr (sizeof(T) == 4 && along == Along::other)
      pattern = kRowBytes == 64 ? row / 2 % 2 * 2 : row % 4 * 2;
    else
      pattern = kRowBytes == 32 ? row / 4 % 2 : kRowBytes == 64 ? row / 2 % 4 : row % 8;
    return row * kColumns + (column / kPacked<T> ^ pattern) * kPacked<T> + column % kPacked<T>;
  }
};

// The fragment of a at rows m.., depth k.. of the tile: 16 x 16 of bf16, 16 x 8 of f32 (registers: kernels/emulator/ptx.cpp).
template <class Tile, class T = typename Tile::Element>
__device__ __forceinline__ void load_a(std::uint32_t (&a)[4], const T* tile, int m, int k) {
  constexpr int kHalf = kPacked<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if constexpr (Tile::kAlong == Along::k) {
    // Matrices: rows 0-7 and 8-15 of the first half of the depth, then of the second.
    ptx::ldmatrix_x4(a, tile + Tile::offset(m + lane % 16, k + lane / 16 * kHalf));
  } else if constexpr (sizeof(T) == 2) {
    ptx::ldmatrix_x4_trans(a, tile + Tile::offset(k + lane % 8 + lane / 16 * 8, m + lane / 8 % 2 * 8));
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] = __float_as_uint(tile[Tile::offset(k + lane % 4 + 4 * (i / 2), m + lane / 4 + 8 * (i % 2))]);
  }
}

// The fragments of b at depth k.., columns n..n+15 of the tile: two of 16 x 8 of bf16, 8 x 8 of f32.
template <class Tile, class T = typename Tile::Element>
__device__ __forceinline__ void load_b(std::uint32_t (&b)[4], const T* tile, int n, int k) {
  constexpr int kHalf = kPacked<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if constexpr (Tile::kAlong == Along::k) {
    // Matrices: both halves of the depth of columns 0-7, then of columns 8-15.
    ptx::ldmatrix_x4(b, tile + Tile::offset(n + lane % 8 + lane / 16 * 8, k + lane / 8 % 2 * kHalf));
  } else if constexpr (sizeof(T) == 2) {
    ptx::ldmatrix_x4_trans(b, tile + Tile::offset(k + lane % 16, n + lane / 16 * 8));
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) b[i] = __float_as_uint(tile[Tile::offset(k + lane % 4 + 4 * (i % 2), n + lane / 4 + 8 * (i / 2))]);
  }
}

// f32 as a TF32 number, and as a sum of two.
template <int count>
__device__ __forceinline__ void round_to_tf32(const std::uint32_t (&value)[count], std::uint32_t (&rounded)[count]) {
#pragma unroll
  for (int i = 0; i < count; ++i) rounded[i] = ptx::to_tf32(__uint_as_float(value[i]));
}
template <int count>
__device__ __forceinline__ void split(const std::uint32_t (&value)[count], std::uint32_t (&high)[count], std::uint32_t (&low)[count]) {
#pragma unroll
  for (int i = 0; i < count; ++i) {
    high[i] = ptx::to_tf32(__uint_as_float(value[i]));
    low[i] = ptx::to_tf32(__uint_as_float(value[i]) - __uint_as_float(high[i]));
  }
}

// c += a b, a fragment of each. products: of f32, not plain.
template <F32Products products, class T>
__device__ __forceinline__ void multiply_fragments(const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], float (&c)[4]) {
  if constexpr (sizeof(T) == 2) {
    ptx::mma_m16n8k16_bf16(c, a, b);
  } else {
    std::uint32_t a_high[4], b_high[2];
    if constexpr (products == F32Products::tf32) {
      round_to_tf32(a, a_high);
      round_to_tf32(b, b_high);
    } else {
      std::uint32_t a_low[4], b_low[2];
      split(a, a_high, a_low);
      split(b, b_high, b_low);
      ptx::mma_m16n8k8_tf32(c, a_low, b_high);
      ptx::mma_m16n8k8_tf32(c, a_high, b_low);
    }
    ptx::mma_m16n8k8_tf32(c, a_high, b_high);
  }
}

template <class TileA, class TileB, F32Products products, int row_tiles, int column_tiles, class T = typename TileA::Element>
__device__ __forceinline__ void multiply_on_tensor_cores(const T* a_tile, const T* b_tile, int m, int n, float (&c)[row_tiles][column_tiles][4]) {
  constexpr int kDepthOfProduct = 32 / static_cast<int>(sizeof(T));
#pragma unroll
  for (int k = 0; k < TileA::kDepth; k += kDepthOfProduct) {
    std::uint32_t a[row_tiles][4], b[column_tiles / 2][4];
#pragma unroll
    for (int i = 0; i < row_tiles; ++i) load_a<TileA>(a[i], a_tile, m + 16 * i, k);
#pragma unroll
    for (int j = 0; j < column_tiles / 2; ++j) load_b<TileB>(b[j], b_tile, n + 16 * j, k);
#pragma unroll
    for (int i = 0; i < row_tiles; ++i) {
#pragma unroll
      for (int j = 0; j < column_tiles; ++j) {
        const std::uint32_t b_pair[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
        multiply_fragments<products, T>(a[i], b_pair, c[i][j]);
      }
    }
  }
}

// Four neighbours along the depth, from k on, in row (of a) or column (of b) `other`.
template <class Tile>
__device__ __forceinline__ void load_depths(float (&values)[4], const float* tile, int other, int k) {
  if constexpr (Tile::kAlong == Along::k) {
    load_packed(tile + Tile::offset(other, k), values);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) values[i] = tile[Tile::offset(k + i, other)];
  }
}

// By fused multiply-adds, in the order of the depth. NOTE: a lane makes the sums that it would hold of a tensor core's product, so that all that comes
// behind is the same; a kernel for this alone would share the tile out so that its lanes read less of it.
template <class TileA, class TileB, int row_tiles, int column_tiles>
__device__ __forceinline__ void multiply_plainly(const float* a_tile, const float* b_tile, int m, int n, float (&c)[row_tiles][column_tiles][4]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, row = m + lane / 4, column = n + lane % 4 * 2;
#pragma unroll 1
  for (int k = 0; k < TileA::kDepth; k += 4) {
    float a[2 * row_tiles][4], b[4];
#pragma unroll
    for (int i = 0; i < 2 * row_tiles; ++i) load_depths<TileA>(a[i], a_tile, row + 8 * i, k);
#pragma unroll
    for (int j = 0; j < 2 * column_tiles; ++j) {
      load_depths<TileB>(b, b_tile, column + j / 2 * 8 + j % 2, k);
#pragma unroll
      for (int i = 0; i < 2 * row_tiles; ++i) {
        float& sum = c[i / 2][j / 2][i % 2 * 2 + j % 2];
#pragma unroll
        for (int depth = 0; depth < 4; ++depth) sum = fmaf(a[i][depth], b[depth], sum);
      }
    }
  }
}

// What one warp adds to its part of c, which begins at row m and column n of the tiles, from one step along K.
// Each lane holds of every 16 x 8 the pairs of neighbours in rows lane/4 and lane/4 + 8, columns lane%4*2.
template <class TileA, class TileB, F32Products products, int row_tiles, int column_tiles, class T = typename TileA::Element>
__device__ __forceinline__ void multiply_tiles(const T* a_tile, const T* b_tile, int m, int n, float (&c)[row_tiles][column_tiles][4]) {
  if constexpr (sizeof(T) == 4 && products == F32Products::plain)
    multiply_plainly<TileA, TileB>(a_tile, b_tile, m, n, c);
  else
    multiply_on_tensor_cores<TileA, TileB, products>(a_tile, b_tile, m, n, c);
}

}  // namespace tensor_core

// Calls body<products>() with the context's; for bf16, which is multiplied in one way, always with the default, so that no kernel is made twice.
template <class T, class Body>
void dispatch_products(const Context& context, Body&& body) {
  if constexpr (sizeof(T) == 4) {
    switch (context.f32_products()) {
      case F32Products::three_tf32: return body.template operator()<F32Products::three_tf32>();
      case F32Products::tf32: return body.template operator()<F32Products::tf32>();
      case F32Products::plain: return body.template operator()<F32Products::plain>();
    }
  } else {
    body.template operator()<F32Products::three_tf32>();
  }
}

}  // namespace isda
