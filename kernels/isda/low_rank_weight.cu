// SPDX-License-Identifier: Apache-2.0
// What covariances of low rank add to dW, with U_c[j] = d_c * D_c[j] + P_c[j] V_c and g[c,j] = ratio Gc[c,j]:
//
//   diagonal   the variances d_c of the present classes side by side, and with them what a diagonal covariance does (weight_correction.cu)
//   fold       h_c = sum_j g[c,j] P_c[j]  (R): a block 64 directions of a class, its four lines every fourth j, then the lines in order
//   others     dW[j] += sum_c g[c,j] P_c[j] V_c: a block a tile of 64 classes j by 64 features, slot after slot (tile.cuh)
//   own        dW[c] -= h_c V_c: a thread a feature of a class
//
//   bytes  P twice, V_c C / 64 + 1 times, from L2.   FLOP  2 K C A R in `others`, which is nearly all
#include "kernels/isda/low_rank.cuh"
#include "kernels/isda/tile.cuh"

namespace isda::kernels {

namespace {

using tile::Neighbours;

constexpr int kThreads = 256, kColumns = 64, kLines = kThreads / kColumns;

struct LowRank {
  const float* covariance;  // (C,1+R,A)
  int R;

  __device__ const float* diagonal(int c, int A) const { return covariance + std::int64_t{c} * (1 + R) * A; }
  __device__ const float* directions(int c, int A) const { return diagonal(c, A) + A; }
};

// Blocks: slots by features. variance (C,A): the rows of the present classes are overwritten.
__global__ void __launch_bounds__(kThreads)
    diagonal_kernel(const __grid_constant__ Membership members, const __grid_constant__ LowRank S, int A, float* variance) {
  const int slot = static_cast<int>(blockIdx.x), a = static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x);
  if (slot >= *members.present || a >= A) return;
  const int c = members.classes[slot];
  variance[std::int64_t{c} * A + a] = S.diagonal(c, A)[a];
}

// Blocks: slots by 64 directions. h (most,R)
__global__ void __launch_bounds__(kThreads) fold_kernel(const __grid_constant__ WeightCorrection op, int R, float* h) {
  SIMT_SHARED(lines, float[kLines][kColumns]);
  const int slot = static_cast<int>(blockIdx.x), column = static_cast<int>(threadIdx.x) % kColumns, line = static_cast<int>(threadIdx.x) / kColumns;
  const int r = static_cast<int>(blockIdx.y) * kColumns + column;
  if (*op.ratio == 0 || slot >= *op.members.present) return;
  float sum = 0;
  for (int j = line; j < op.C && r < R; j += kLines) {
    const std::int64_t at = std::int64_t{slot} * op.C + j;
    sum += op.g[at] * op.u[at * R + r];
  }
  lines[line][column] = sum;
  __syncthreads();
  if (line != 0 || r >= R) return;
  for (int other = 1; other < kLines; ++other) sum += lines[other][column];
  h[std::int64_t{slot} * R + r] = sum;
}

// Blocks: 64 classes j by 64 features.
template <int width>
__global__ void __launch_bounds__(tile::kThreads, tile::kBlocks) others_kernel(const __grid_constant__ WeightCorrection op, const __grid_constant__ LowRank S) {
  SIMT_SHARED(step, tile::Step<>);
  const int C = op.C, A = op.A, R = S.R, present = *op.members.present;
  const int first_class = static_cast<int>(blockIdx.x) * tile::kExtent, first_feature = static_cast<int>(blockIdx.y) * tile::kExtent;
  if (*op.ratio == 0) return;
  float sums[tile::kOwn][tile::kOwn] = {};
  for (int slot = 0; slot < present; ++slot) {
    const float* V = S.directions(op.members.classes[slot], A);
    tile::add_products<Neighbours::along_k, Neighbours::along_tile>(
        step, R,
        [&](int position, int k, float(&values)[4]) {
          const int j = first_class + position;
          const std::int64_t at = std::int64_t{slot} * C + j;
          tile::load_four<1>(op.u + at * R + k, j < C ? R - k : 0, values);
          const float g = j < C ? op.g[at] : 0.0f;
#pragma unroll
          for (float& value : values) value *= g;
        },
        [&](int position, int k, float(&values)[4]) {
          const int a = first_feature + position;
          tile::load_four<width>(V + std::int64_t{k} * A + a, k < R ? A - a : 0, values);
        },
        sums);
  }
  const int row = first_class + tile::own_row(), column = first_feature + tile::own_column();
#pragma unroll
  for (int i = 0; i < tile::kOwn; ++i) {
    float* to = op.dweight + std::int64_t{row + i} * A + column;
    const int left = row + i < C ? A - column : 0;
    float gradient[4];
    tile::load_four<width>(to, left, gradient);
#pragma unroll
    for (int j = 0; j < tile::kOwn; ++j) gradient[j] += sums[i][j];
    tile::store_four<width>(to, left, gradient);
  }
}

// Blocks: slots by features.
__global__ void __launch_bounds__(kThreads) own_kernel(const __grid_constant__ WeightCorrection op, const __grid_constant__ LowRank S, const float* h) {
  const int slot = static_cast<int>(blockIdx.x), a = static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x), A = op.A;
  if (*op.ratio == 0 || slot >= *op.members.present || a >= A) return;
  const int c = op.members.classes[slot];
  const float *V = S.directions(c, A) + a, *of_slot = h + std::int64_t{slot} * S.R;
  float sum = 0;
  for (int r = 0; r < S.R; ++r) sum += of_slot[r] * V[std::int64_t{r} * A];
  op.dweight[std::int64_t{c} * A + a] -= sum;
}

}  // namespace

void correct_weight_gradient_low_rank(const Context& context, Scratch& scratch, WeightCorrection op, const ConstView& covariance) {
  const LowRank S{covariance.as<float>(), static_cast<int>(directions_of(covariance))};
  const auto most = static_cast<unsigned>(op.members.most);
  const dim3 by_features(most, blocks_for(op.A, kThreads));
  // The diagonal.
  float* variance = scratch.take<float>(std::int64_t{op.C} * op.A);
  launch(context, LaunchShape{.name = "isda_low_rank_diagonal", .grid = by_features, .block = kThreads}, diagonal_kernel, op.members, S, op.A, variance);
  WeightCorrection diagonal = op;
  diagonal.variance = variance;
  diagonal.u = nullptr;
  correct_weight_gradient(context, scratch, diagonal);
  // The directions.
  float* h = scratch.take<float>(std::int64_t{most} * S.R);
  launch(context, LaunchShape{.name = "isda_low_rank_fold", .grid = dim3(most, blocks_for(S.R, kColumns)), .block = kThreads}, fold_kernel, op, S.R, h);
  const dim3 tiles(blocks_for(op.C, tile::kExtent), blocks_for(op.A, tile::kExtent));
  const bool is_aligned = are_aligned({covariance}) && reinterpret_cast<std::uintptr_t>(op.dweight) % 16 == 0;
  dispatch_width<float>(op.A, is_aligned, [&]<int width>() {
    launch(context, {.name = "isda_low_rank_others", .grid = tiles, .block = tile::kThreads}, others_kernel<width>, op, S);
  });
  launch(context, LaunchShape{.name = "isda_low_rank_own", .grid = by_features, .block = kThreads}, own_kernel, op, S, h);
}

}  // namespace isda::kernels
