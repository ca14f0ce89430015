// SPDX-License-Identifier: Apache-2.0
// A tile of 64 x 64 sums of products made by one block in f32: what the passes over full covariances consist of.
//
//   sums(r,c) += sum over k of a(r,k) b(k,c)        r, c in the tile, k = 0 ... depth - 1, in this order whatever the tile
//
// 256 threads; each keeps 4 x 4 neighbours of the tile in registers. The block walks along k in steps of 16: its threads bring 16 x 64 of a and
// of b to shared memory, four values of each a thread; then every thread multiplies, two loads of 16 bytes for 16 multiply-adds. While a step is
// multiplied, the values of the next are on their way to registers.
#pragma once
#include "kernels/common/simt.cuh"

namespace isda::kernels::tile {

constexpr int kThreads = 256, kExtent = 64, kDepth = 16;
constexpr int kOwn = 4;  // rows and columns of a thread

// NOTE: rows of 68: still a multiple of 16 bytes, and what lies below each other begins four banks further.
struct alignas(16) Step {
  float a[kDepth][kExtent + 4], b[kDepth][kExtent + 4];
};

// The first of this thread's rows and columns of the tile: 16 neighbouring threads have the same rows, and together all columns.
__device__ __forceinline__ int own_row() { return static_cast<int>(threadIdx.x) / (kExtent / kOwn) * kOwn; }
__device__ __forceinline__ int own_column() { return static_cast<int>(threadIdx.x) % (kExtent / kOwn) * kOwn; }

// Four neighbours in memory of which `left` are there, zeros behind them. is_packed: they are all there or none, and aligned.
template <bool is_packed>
__device__ __forceinline__ void load_four(const float* from, int left, float (&values)[4]) {
#pragma unroll
  for (float& value : values) value = 0;
  if constexpr (is_packed) {
    if (left > 0) load_packed(from, values);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i < left) values[i] = from[i];
    }
  }
}
template <bool is_packed>
__device__ __forceinline__ void store_four(float* to, int left, const float (&values)[4]) {
  if constexpr (is_packed) {
    if (left > 0) store_packed(to, values);
  } else {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i < left) to[i] = values[i];
    }
  }
}

// What an operand's neighbours in memory are: neighbours along the tile, or along k.
enum class Neighbours { along_tile, along_k };

// The four values of an operand that a thread brings: at `position` in the tile's extent and `k` in the step.
template <Neighbours neighbours>
struct Brought {
  int position, k;
  __device__ __forceinline__ Brought() {
    const int thread = static_cast<int>(threadIdx.x);
    if constexpr (neighbours == Neighbours::along_tile) {
      position = thread % (kExtent / 4) * 4;
      k = thread / (kExtent / 4);
    } else {
      position = thread / (kDepth / 4);
      k = thread % (kDepth / 4) * 4;
    }
  }
  __device__ __forceinline__ void store(float (*operand)[kExtent + 4], const float (&values)[4]) const {
    if constexpr (neighbours == Neighbours::along_tile) {
      store_packed(&operand[k][position], values);
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) operand[k + i][position] = values[i];
    }
  }
};

// load_a(position, k, values) and load_b fetch the four values of an operand from there on, zeros where it ends. All threads of the block come here.
template <Neighbours a_neighbours, Neighbours b_neighbours, class LoadA, class LoadB>
__device__ __forceinline__ void add_products(Step& step, int depth, LoadA&& load_a, LoadB&& load_b, float (&sums)[kOwn][kOwn]) {
  const Brought<a_neighbours> a_place;
  const Brought<b_neighbours> b_place;
  float a[4], b[4];
  load_a(a_place.position, a_place.k, a);
  load_b(b_place.position, b_place.k, b);
  for (int first = 0; first < depth; first += kDepth) {
    a_place.store(step.a, a);
    b_place.store(step.b, b);
    __syncthreads();
    if (first + kDepth < depth) {
      load_a(a_place.position, first + kDepth + a_place.k, a);
      load_b(b_place.position, first + kDepth + b_place.k, b);
    }
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      float of_rows[kOwn], of_columns[kOwn];
      load_packed(&step.a[k][own_row()], of_rows);
      load_packed(&step.b[k][own_column()], of_columns);
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
#pragma unroll
        for (int j = 0; j < kOwn; ++j) sums[i][j] += of_rows[i] * of_columns[j];
      }
    }
    // Nobody reads the step any more.
    __syncthreads();
  }
}

}  // namespace isda::kernels::tile
