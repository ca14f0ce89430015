// SPDX-License-Identifier: Apache-2.0
// Level 4: U_c in tiles of 32 x 32 by a block, which brings 32 x 32 of D_c and of S_c to shared memory and uses each number 32 times.
//
//   256 threads: 32 columns by 8 lines; a thread makes 4 elements of one column, in rows 8 apart. A step along the features: two tiles, a barrier, 32 terms,
//   a barrier. In a step a warp reads 32 neighbours of S_c, one for each bank, and one number of D_c for all: no bank conflicts.
//
//   bytes     as level 3 where every array of a pass counts once; but what threads ask of memory and its caches for the product falls from
//             12 K C A^2, three numbers a multiply-add, to a thirty-second of it
//   FLOP      as level 3
//   gains     the product is no longer bound by what caches deliver
//
// What hurts: of shared memory a multiply-add still asks two numbers, and f32 lanes do one each: 2 K C A^2 is a lot beyond some hundred features.
#include "kernels/isda/ladder/steps.cuh"

namespace isda::kernels::ladder {

namespace {

constexpr int kSide = 32, kLines = kThreads / kSide, kOwn = kSide / kLines;

// Blocks: tiles of columns by tiles of rows j by slots.
__global__ void __launch_bounds__(kThreads) multiply_tiles_kernel(const __grid_constant__ Membership members, Extents extents, const float* __restrict__ weight,
                                                                  const float* __restrict__ covariance, float* __restrict__ u) {
  SIMT_SHARED(d, float[kSide][kSide]);
  SIMT_SHARED(s, float[kSide][kSide]);
  const auto [N, C, A] = extents;
  const int x = static_cast<int>(threadIdx.x) % kSide, line = static_cast<int>(threadIdx.x) / kSide;
  const int tiles = (A + kSide - 1) / kSide, rows = (C + kSide - 1) / kSide, tile = static_cast<int>(blockIdx.x) / tiles;
  const int slot = tile / rows, first_row = tile % rows * kSide, column = static_cast<int>(blockIdx.x) % tiles * kSide + x;
  if (slot >= *members.present) return;
  const std::int64_t c = members.classes[slot];
  const float *own = weight + c * A, *S = covariance + c * A * A;
  float sums[kOwn] = {};
  for (int first = 0; first < A; first += kSide) {
    // Bring the tiles; zeros where the matrices end.
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int y = line + kLines * i, j = first_row + y, b = first + x;
      d[y][x] = j < C && b < A ? weight[std::int64_t{j} * A + b] - own[b] : 0.0f;
      s[y][x] = first + y < A && column < A ? S[std::int64_t{first + y} * A + column] : 0.0f;
    }
    __syncthreads();
    // Multiply them.
#pragma unroll
    for (int b = 0; b < kSide; ++b) {
#pragma unroll
      for (int i = 0; i < kOwn; ++i) sums[i] = fmaf(d[line + kLines * i][b], s[b][x], sums[i]);
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    const int j = first_row + line + kLines * i;
    if (j < C && column < A) u[(std::int64_t{slot} * C + j) * A + column] = sums[i];
  }
}

void update_and_multiply(const Context& context, Scratch& scratch, const PerClass& of) {
  update_in_place(context, scratch, of);
  const Extents extents = extents_of(of.op);
  const unsigned blocks = static_cast<unsigned>(of.members.most) * blocks_for(extents.C, kSide) * blocks_for(extents.A, kSide);
  launch(context, LaunchShape{.name = "ladder_multiply_tiles", .grid = blocks, .block = kThreads}, multiply_tiles_kernel, of.members, extents,
         of.op.weight.as<float>(), static_cast<const ConstView&>(of.op.covariance).as<float>(), of.u.as<float>());
}

void run_level(const Context& context, const IsdaHead& op) { run_per_class(context, op, update_and_multiply); }

const Declare level{{.name = "04_shared_memory", .idea = "the product in tiles of shared memory", .cost = cost_in_place, .run = run_level}};

}  // namespace

}  // namespace isda::kernels::ladder
