// SPDX-License-Identifier: Apache-2.0
// Matrix products in f32: a tile of the result held in registers, and the whole product made of tiles.
//
//   multiply_tile   sum[r][j] = sum over k of a[r,k] b[k,j]   for kTileRows x kTileColumns of the result: 6 x 16 with AVX2
//   gemm            c (M,N) = a (M,K) b (K,N) + bias (N)       any strides; 2 M N K FLOP
//
// b is packed into panels of kTileColumns columns, so that a tile reads it in order from cache; a is read where it lies, since its
// elements are only broadcast. An element of the result is summed over k from 0 upwards, whatever the tile or the thread: the bits do not
// depend on the number of threads. kernels/isda builds its fused pass from the same tile.
#pragma once
#include <cstdint>
#include <utility>

#include "kernels/common/context.h"
#include "kernels/common/lanes.h"

namespace isda {

constexpr int kTileRows = kLanes == 16 ? 8 : 6;
constexpr int kTileColumns = 2 * kLanes;

// One row of a tile.
struct TileRow {
  Lanes left{}, right{};
};
inline void copy_some(const float* from, std::int64_t count, float* to) {
  for (std::int64_t j = 0; j < count; ++j) to[j] = from[j];
}
// The first `count` elements from memory, zeros behind them.
inline TileRow load_row(const float* from, std::int64_t count = kTileColumns) {
  if (count == kTileColumns) return {load<Lanes>(from, 0), load<Lanes>(from, 1)};
  float row[kTileColumns] = {};
  copy_some(from, count, row);
  return {load<Lanes>(row, 0), load<Lanes>(row, 1)};
}
// The first `count` elements to memory.
inline void store_row(float* to, const TileRow& row, std::int64_t count = kTileColumns) {
  if (count == kTileColumns) {
    store(to, 0, row.left);
    store(to, 1, row.right);
  } else {
    float all[kTileColumns];
    store(all, 0, row.left);
    store(all, 1, row.right);
    copy_some(all, count, to);
  }
}
inline float sum_of(const Lanes& value) {
  float sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += value[lane];
  return sum;
}

// A matrix in memory: element (i,j) is data[i * row + j * column]. The transpose has the strides exchanged.
struct Matrix {
  const float* data;
  std::int64_t row, column;
  Matrix transposed() const { return {data, column, row}; }
};

constexpr std::int64_t panels_of(std::int64_t columns) { return (columns + kTileColumns - 1) / kTileColumns; }

// The product of `rows` rows of a with one packed panel of b.
// NOTE: not inlined: among other code GCC does not keep all the sums in registers.
template <int rows>
[[gnu::noinline]] void multiply_tile(std::int64_t depth, const Matrix& a, const float* panel, TileRow (&sum)[rows]) {
  const std::int64_t step = a.column;
  const float* row[rows];
  Lanes left[rows], right[rows];
  for (int r = 0; r < rows; ++r) {
    row[r] = a.data + r * a.row;
    left[r] = right[r] = Lanes{};
  }
  for (std::int64_t k = 0; k < depth; ++k, panel += kTileColumns) {
    const Lanes b0 = load<Lanes>(panel, 0), b1 = load<Lanes>(panel, 1);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      left[r] += row[r][k * step] * b0;
      right[r] += row[r][k * step] * b1;
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < rows; ++r) sum[r] = {left[r], right[r]};
}

// Calls body<rows>() with rows = min(count, kTileRows) known at compile time.
template <int rows = kTileRows, class Body>
inline void with_tile_rows(std::int64_t count, Body&& body) {
  if constexpr (rows == 1)
    body.template operator()<1>();
  else if (count >= rows)
    body.template operator()<rows>();
  else
    with_tile_rows<rows - 1>(count, std::forward<Body>(body));
}

// Copies columns [first, first + kTileColumns) of b, `depth` rows, to panel[k][kTileColumns]; columns from `columns` on become 0.
void pack_panel(const Matrix& b, std::int64_t depth, std::int64_t columns, std::int64_t first, float* panel);

struct Gemm {
  std::int64_t M, N, K;
  Matrix a;                     // (M,K)
  Matrix b;                     // (K,N)
  float* c;                     // (M,N), dense, overwritten
  const float* bias = nullptr;  // (N), optional
};
void gemm(const Context& context, const Gemm& product);

}  // namespace isda
