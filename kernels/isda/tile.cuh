// SPDX-License-Identifier: Apache-2.0
// A tile of 64 x 64 sums made by one block in f32: what the passes over classes and features consist of.
//
//   sums(r,c) += sum over k of term(a(r,k), b(k,c))        r, c in the tile, k = 0 ... depth - 1, in this order whatever the tile
//
// The term is the product where matrices are multiplied, rounded with the sum; the diagonal covariance has others, with one or two operands b.
//
// 256 threads; each keeps 4 x 4 neighbours of the tile in registers. The block walks along k in steps of 16: its threads bring 16 x 64 of a and of
// b to shared memory, four values of each a thread; then every thread adds its terms, two loads of 16 bytes for 16 products. While a step is
// used, the values of the next are on their way to registers.
#pragma once
#include "kernels/common/channels.cuh"

namespace isda::kernels::tile {

constexpr int kThreads = 256, kExtent = 64, kDepth = 16;
constexpr int kOwn = 4;     // rows and columns of a thread
constexpr int kBlocks = 3;  // of a multiprocessor at once, at least: 80 registers a thread

// NOTE: rows of 68: still a multiple of 16 bytes, and what lies below each other begins four banks further.
using Operand = float[kDepth][kExtent + 4];
template <int b_operands = 1>
struct alignas(16) Step {
  Operand a, b[b_operands];
};

// The first of this thread's rows and columns of the tile: 16 neighbouring threads have the same rows, and together all columns.
__device__ __forceinline__ int own_row() { return static_cast<int>(threadIdx.x) / (kExtent / kOwn) * kOwn; }
__device__ __forceinline__ int own_column() { return static_cast<int>(threadIdx.x) % (kExtent / kOwn) * kOwn; }

// Four neighbours in memory of which `left` are there, zeros behind them; `width` at a time, which are all there or none, and aligned.
template <int width, class T>
__device__ __forceinline__ void load_four(const T* from, int left, float (&values)[4]) {
#pragma unroll
  for (int first = 0; first < 4; first += width) {
    float part[width] = {};
    if (first < left) load_packed(from + first, part);
#pragma unroll
    for (int i = 0; i < width; ++i) values[first + i] = part[i];
  }
}
template <int width, class T>
__device__ __forceinline__ void store_four(T* to, int left, const float (&values)[4]) {
#pragma unroll
  for (int first = 0; first < 4; first += width) {
    float part[width];
#pragma unroll
    for (int i = 0; i < width; ++i) part[i] = values[first + i];
    if (first < left) store_packed(to + first, part);
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
  __device__ __forceinline__ void store(Operand& operand, const float (&values)[4]) const {
    if constexpr (neighbours == Neighbours::along_tile) {
      store_packed(&operand[k][position], values);
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) operand[k + i][position] = values[i];
    }
  }
};

// load_a(position, k, values) fetches the four values of a from there on, zeros where it ends; load_b likewise those of each operand b.
// add(sum, i, j, a, b) adds a term: a of the thread's row i; b[operand][j] of its column j. All threads of the block come here.
template <Neighbours a_neighbours, Neighbours b_neighbours, int b_operands, class LoadA, class LoadB, class Add>
__device__ __forceinline__ void add_terms(Step<b_operands>& step, int depth, LoadA&& load_a, LoadB&& load_b, Add&& add, float (&sums)[kOwn][kOwn]) {
  const Brought<a_neighbours> a_place;
  const Brought<b_neighbours> b_place;
  float a[4], b[b_operands][4];
  load_a(a_place.position, a_place.k, a);
  load_b(b_place.position, b_place.k, b);
  for (int first = 0; first < depth; first += kDepth) {
    a_place.store(step.a, a);
#pragma unroll
    for (int operand = 0; operand < b_operands; ++operand) b_place.store(step.b[operand], b[operand]);
    __syncthreads();
    if (first + kDepth < depth) {
      load_a(a_place.position, first + kDepth + a_place.k, a);
      load_b(b_place.position, first + kDepth + b_place.k, b);
    }
#pragma unroll
    for (int k = 0; k < kDepth; ++k) {
      float of_rows[kOwn], of_columns[b_operands][kOwn];
      load_packed(&step.a[k][own_row()], of_rows);
#pragma unroll
      for (int operand = 0; operand < b_operands; ++operand) load_packed(&step.b[operand][k][own_column()], of_columns[operand]);
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
#pragma unroll
        for (int j = 0; j < kOwn; ++j) add(sums[i][j], i, j, of_rows[i], of_columns);
      }
    }
    // Nobody reads the step any more.
    __syncthreads();
  }
}

// The product of matrices.
template <Neighbours a_neighbours, Neighbours b_neighbours, class LoadA, class LoadB>
__device__ __forceinline__ void add_products(Step<>& step, int depth, LoadA&& load_a, LoadB&& load_b, float (&sums)[kOwn][kOwn]) {
  add_terms<a_neighbours, b_neighbours>(
      step, depth, load_a, [&](int position, int k, float(&values)[1][4]) { load_b(position, k, values[0]); },
      [](float& sum, int, int j, float a, const float(&b)[1][kOwn]) { sum = fmaf(a, b[0][j], sum); }, sums);
}

}  // namespace isda::kernels::tile
