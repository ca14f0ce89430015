// SPDX-License-Identifier: Apache-2.0
// The table of corrections.
//
//   full       the streaming pass (streaming_pass.cuh); or, without tensor cores, the update of the covariance, and a block a tile of 64 x 64 of U_c = D_c S_c
//              (tile.cuh). It subtracts while it loads, keeps U_c for the gradient, and leaves what its 64 columns give to Q[c,j] = U_c[j] . D_c[j]
//   diagonal   a block a tile of 64 classes j by 64 slots of Q, over a slice of the features
//   low rank   the update of the covariance; the diagonal's Q of d_c; a block a tile of 64 classes j by 64 directions of P_c = D_c V_c^T, whose squares are
//              further parts of Q
//
//   bytes  full by tiles: S_c of K classes once from memory (and again, from L2, for each further 64 classes j: their blocks are neighbours), U written once
//          diagonal: weight once for each 64 slots, s_c once for each 64 classes; low rank, beyond: V_c once for each 64 classes, P_c written once
//   FLOP   full: 2 K C A^2; diagonal: 4 K C A; low rank: 2 K C A R beyond
//
// D_c[c] is exactly 0, and so are U_c[c] and Q[c,c]. NOTE: w_j S_c w_j^T - 2 w_j S_c w_c^T + w_c S_c w_c^T would be the same in other numbers than ours:
// there the differences that make up Q cancel.
#include "kernels/isda/correction.cuh"

#include "kernels/isda/covariance_kind.h"
#include "kernels/isda/tile.cuh"

namespace isda::kernels {

namespace {

using tile::Neighbours;

constexpr int kSlice = 512;  // features of a block of the diagonal Q

struct Sizes {
  int C, A;
  int parts;          // of Q: column tiles, or slices, of A; low rank: slices of A, and behind them tiles of R
  int R = 0;          // low rank
  std::int64_t rows;  // elements from one class's variances to the next one's, or from its covariance
};

// Four elements of D_c[j] from feature a on; zeros where there is no such class or feature.
template <int width>
__device__ __forceinline__ void load_difference(const float* weight, int j, int c, int a, const Sizes& sizes, float (&values)[4]) {
  const int left = j < sizes.C ? sizes.A - a : 0;
  float own[4];
  tile::load_four<width>(weight + std::int64_t{j} * sizes.A + a, left, values);
  tile::load_four<width>(weight + std::int64_t{c} * sizes.A + a, left, own);
#pragma unroll
  for (int i = 0; i < 4; ++i) values[i] -= own[i];
}

// Blocks: slots by column tiles by row tiles, the last fastest. q (slots,parts,C)
template <int width>
__global__ void __launch_bounds__(tile::kThreads, tile::kBlocks)
    multiply_kernel(const __grid_constant__ Membership members, const __grid_constant__ Sizes sizes, const float* __restrict__ weight,
                    const float* __restrict__ covariance, float* __restrict__ u, float* __restrict__ q) {
  SIMT_SHARED(step, tile::Step<>);
  const int row_tiles = (sizes.C + tile::kExtent - 1) / tile::kExtent;
  const int first_row = static_cast<int>(blockIdx.x) % row_tiles * tile::kExtent;
  const int part = static_cast<int>(blockIdx.x) / row_tiles % sizes.parts, first_column = part * tile::kExtent;
  const int slot = static_cast<int>(blockIdx.x) / row_tiles / sizes.parts;
  if (slot >= *members.present) return;
  const int C = sizes.C, A = sizes.A, c = members.classes[slot];
  const float* S = covariance + std::int64_t{c} * A * A;
  // Multiply.
  float sums[tile::kOwn][tile::kOwn] = {};
  tile::add_products<Neighbours::along_k, Neighbours::along_tile>(
      step, A, [&](int position, int k, float(&values)[4]) { load_difference<width>(weight, first_row + position, c, k, sizes, values); },
      [&](int position, int k, float(&values)[4]) {
        const int column = first_column + position;
        tile::load_four<width>(S + std::int64_t{k} * A + column, k < A ? A - column : 0, values);
      },
      sums);
  // Keep U_c, and multiply by D_c once more.
  const int column = first_column + tile::own_column();
#pragma unroll
  for (int i = 0; i < tile::kOwn; ++i) {
    const int j = first_row + tile::own_row() + i;
    tile::store_four<width>(u + (std::int64_t{slot} * C + j) * A + column, j < C ? A - column : 0, sums[i]);
    float difference[4], product = 0;
    load_difference<width>(weight, j, c, column, sizes, difference);
#pragma unroll
    for (int a = 0; a < 4; ++a) product += sums[i][a] * difference[a];
    product = warp_sum<tile::kExtent / tile::kOwn>(product);
    if (tile::own_column() == 0 && j < C) q[(std::int64_t{slot} * sizes.parts + part) * C + j] = product;
  }
}

// Blocks: 64 classes j by 64 slots by slices of features. q (slots,parts,C)
template <int width>
__global__ void __launch_bounds__(tile::kThreads, tile::kBlocks)
    multiply_diagonal_kernel(const __grid_constant__ Membership members, const __grid_constant__ Sizes sizes, const float* __restrict__ weight,
                             const float* __restrict__ variance, float* __restrict__ q) {
  SIMT_SHARED(step, tile::Step<2>);
  const int first_class = static_cast<int>(blockIdx.x) * tile::kExtent, first_slot = static_cast<int>(blockIdx.y) * tile::kExtent;
  const int part = static_cast<int>(blockIdx.z), present = *members.present;
  if (first_slot >= present) return;
  const int C = sizes.C, A = sizes.A, begin = part * kSlice, depth = A - begin < kSlice ? A - begin : kSlice;
  float sums[tile::kOwn][tile::kOwn] = {};
  tile::add_terms<Neighbours::along_k, Neighbours::along_k>(
      step, depth,
      [&](int position, int k, float(&values)[4]) {
        const int j = first_class + position;
        tile::load_four<width>(weight + std::int64_t{j} * A + begin + k, j < C ? depth - k : 0, values);
      },
      [&](int position, int k, float(&values)[2][4]) {
        const int slot = first_slot + position, left = slot < present ? depth - k : 0;
        const std::int64_t c = slot < present ? members.classes[slot] : 0;
        tile::load_four<width>(weight + c * A + begin + k, left, values[0]);
        tile::load_four<width>(variance + c * sizes.rows + begin + k, left, values[1]);
      },
      [](float& sum, int, int j, float w, const float(&own)[2][tile::kOwn]) {
        const float difference = w - own[0][j];
        sum += difference * difference * own[1][j];
      },
      sums);
#pragma unroll
  for (int i = 0; i < tile::kOwn; ++i) {
#pragma unroll
    for (int j = 0; j < tile::kOwn; ++j) {
      const int other = first_class + tile::own_row() + i, slot = first_slot + tile::own_column() + j;
      if (other < C && slot < present) q[(std::int64_t{slot} * sizes.parts + part) * C + other] = sums[i][j];
    }
  }
}

// Blocks: slots by tiles of directions by tiles of classes j, the last fastest. u (slots,C,R): P_c = D_c V_c^T; its squares to the parts of q from `first_part`
// on
template <int width>
__global__ void __launch_bounds__(tile::kThreads, tile::kBlocks)
    project_kernel(const __grid_constant__ Membership members, const __grid_constant__ Sizes sizes, const float* __restrict__ weight,
                   const float* __restrict__ covariance, float* __restrict__ u, float* __restrict__ q, int first_part) {
  SIMT_SHARED(step, tile::Step<>);
  const int C = sizes.C, A = sizes.A, R = sizes.R, row_tiles = (C + tile::kExtent - 1) / tile::kExtent, column_tiles = sizes.parts - first_part;
  const int first_row = static_cast<int>(blockIdx.x) % row_tiles * tile::kExtent;
  const int column_tile = static_cast<int>(blockIdx.x) / row_tiles % column_tiles, first_column = column_tile * tile::kExtent;
  const int slot = static_cast<int>(blockIdx.x) / row_tiles / column_tiles;
  if (slot >= *members.present) return;
  const int c = members.classes[slot];
  const float* V = covariance + c * sizes.rows + A;
  float sums[tile::kOwn][tile::kOwn] = {};
  tile::add_products<Neighbours::along_k, Neighbours::along_k>(
      step, A, [&](int position, int k, float(&values)[4]) { load_difference<width>(weight, first_row + position, c, k, sizes, values); },
      [&](int position, int k, float(&values)[4]) {
        const int r = first_column + position;
        tile::load_four<width>(V + std::int64_t{r} * A + k, r < R ? A - k : 0, values);
      },
      sums);
  const int column = first_column + tile::own_column();
#pragma unroll
  for (int i = 0; i < tile::kOwn; ++i) {
    const int j = first_row + tile::own_row() + i;
    tile::store_four<1>(u + (std::int64_t{slot} * C + j) * R + column, j < C ? R - column : 0, sums[i]);
    float square = 0;
#pragma unroll
    for (int r = 0; r < tile::kOwn; ++r) square += sums[i][r] * sums[i][r];
    square = warp_sum<tile::kExtent / tile::kOwn>(square);
    if (tile::own_column() == 0 && j < C) q[(std::int64_t{slot} * sizes.parts + first_part + column_tile) * C + j] = square;
  }
}

}  // namespace

CorrectionTable correction_of(const Context& context, Scratch& scratch, const Correction& op) {
  const auto [C, A] = op.weight.extents<2>();
  const auto most = static_cast<unsigned>(op.members.most);
  const bool is_full = kernels::is_full(op.covariance), is_streamed = is_full && context.f32_products() != F32Products::plain;
  const int R = is_low_rank(op.covariance) ? static_cast<int>(directions_of(op.covariance)) : 0;
  const unsigned slices = blocks_for(A, kSlice), column_tiles = blocks_for(is_full ? A : R, tile::kExtent);
  const int parts = is_streamed ? StreamingPass::parts(A) : static_cast<int>(is_full ? column_tiles : slices + column_tiles);
  float* q = scratch.take<float>(op.members.most * std::int64_t{parts} * C);
  const auto* weight = op.weight.as<float>();
  if (is_streamed) {
    run_streaming_pass(context,
                       {.members = op.members,
                        .C = static_cast<int>(C),
                        .A = static_cast<int>(A),
                        .weight = weight,
                        .covariance = op.covariance.as<float>(),
                        .terms = op.terms,
                        .count = op.count.as<float>(),
                        .u = op.u.as<float>(),
                        .q = q},
                       context.f32_products());
    return {q, parts};
  }
  if (op.terms.rows) add_terms_on_card(context, op.members, op.terms, op.covariance, op.count);
  const Sizes sizes{.C = static_cast<int>(C), .A = static_cast<int>(A), .parts = parts, .R = R, .rows = op.covariance.size() / C};
  const auto* covariance = static_cast<const ConstView&>(op.covariance).as<float>();
  const unsigned row_tiles = blocks_for(C, tile::kExtent);
  dispatch_width<float>(A, are_aligned({op.weight, op.covariance, op.u}), [&]<int width>() {
    if (is_full) {
      launch(context, {.name = "isda_multiply", .grid = most * static_cast<unsigned>(parts) * row_tiles, .block = tile::kThreads}, multiply_kernel<width>,
             op.members, sizes, weight, covariance, op.u.as<float>(), q);
    } else {
      const dim3 grid(row_tiles, blocks_for(most, tile::kExtent), slices);
      launch(context, {.name = "isda_multiply_diagonal", .grid = grid, .block = tile::kThreads}, multiply_diagonal_kernel<width>, op.members, sizes, weight,
             covariance, q);
      if (R > 0) {
        launch(context, {.name = "isda_project", .grid = most * column_tiles * row_tiles, .block = tile::kThreads}, project_kernel<width>, op.members, sizes,
               weight, covariance, op.u.as<float>(), q, static_cast<int>(slices));
      }
    }
  });
  return {q, parts};
}

}  // namespace isda::kernels
