// SPDX-License-Identifier: Apache-2.0
// A tile of 64 x 64 of one covariance receives its terms: S <- keep S + sum_k z_k z_k^T, by a block of 256 threads (tile.cuh).
#pragma once
#include "kernels/isda/tile.cuh"

namespace isda::kernels {

// S (A,A); z (rank,A), rank at least 1. All threads of the block come here; the step may be used again behind it.
template <int width>
__device__ __forceinline__ void add_terms_to_tile(tile::Step<>& step, float* S, int A, int row_of_tiles, int column_of_tiles, float keep, const float* z,
                                                  int rank) {
  const int first_row = row_of_tiles * tile::kExtent, first_column = column_of_tiles * tile::kExtent;
  const int row = first_row + tile::own_row(), column = first_column + tile::own_column();
  float* own = S + std::int64_t{row} * A + column;
  // Read.
  float sums[tile::kOwn][tile::kOwn];
#pragma unroll
  for (int i = 0; i < tile::kOwn; ++i) {
    tile::load_four<width>(own + std::int64_t{i} * A, row + i < A ? A - column : 0, sums[i]);
#pragma unroll
    for (float& sum : sums[i]) sum *= keep;
  }
  // Add the terms.
  const auto load_from = [&](int first) {
    return [=](int position, int k, float(&values)[4]) {
      const int a = first + position;
      tile::load_four<width>(z + std::int64_t{k} * A + a, k < rank ? A - a : 0, values);
    };
  };
  tile::add_products<tile::Neighbours::along_tile, tile::Neighbours::along_tile>(step, rank, load_from(first_row), load_from(first_column), sums);
  // Write.
#pragma unroll
  for (int i = 0; i < tile::kOwn; ++i) tile::store_four<width>(own + std::int64_t{i} * A, row + i < A ? A - column : 0, sums[i]);
}

}  // namespace isda::kernels
