// SPDX-License-Identifier: Apache-2.0
// Draws on the card.
//
//   membership   the batch sorted by class (kernels/isda/membership.cuh): a covariance is factored once, however many samples ask for it
//   factor       full: a block takes a class, and of its L^T a row after the other: scales it, then takes it from all rows below. A^3 / 3 by one block, from
//                the level-2 cache: simple, not fast
//   draw         full and low rank: a block takes 128 features of 8 draws of a sample; a thread a feature, the normal numbers by 128 through shared memory.
//                Diagonal: a thread four features of a draw
//
//   4 launches at most, and one backward
#include "kernels/common/last_block.cuh"
#include "kernels/isda/membership.cuh"
#include "kernels/isda_draw/isda_draw.h"

namespace isda::kernels {

namespace {

constexpr int kThreads = 128;
constexpr int kDraws = 8;  // of a block

// The factors of the classes that are present.
struct Factors {
  Membership members;
  int A;
  float least;              // share of the largest variance that a pivot must exceed
  const float* covariance;  // (C,A,A)
  float* rows;              // (most,A,A): row k holds L[a,k] for a >= k
};

constexpr int kFactorThreads = 512;

// Blocks: slots.
__global__ void __launch_bounds__(kFactorThreads) factor_kernel(const __grid_constant__ Factors op) {
  SIMT_SHARED(largest_of_warps, float[kFactorThreads / kWarp]);
  const int slot = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  if (slot >= *op.members.present) return;
  const int A = op.A;
  const float* S = op.covariance + std::int64_t{op.members.classes[slot]} * A * A;
  float* rows = op.rows + std::int64_t{slot} * A * A;
  // The largest variance, and a copy to work on.
  float largest = 0;
  for (int a = thread; a < A; a += kFactorThreads) largest = fmaxf(largest, S[std::int64_t{a} * A + a]);
  largest = warp_max(largest);
  if (lane == 0) largest_of_warps[warp] = largest;
  for (int row = warp; row < A; row += kFactorThreads / kWarp) {
    for (int a = row + lane; a < A; a += kWarp) rows[std::int64_t{row} * A + a] = S[std::int64_t{row} * A + a];
  }
  __syncthreads();
  for (int other = 0; other < kFactorThreads / kWarp; ++other) largest = fmaxf(largest, largest_of_warps[other]);
  const float least = op.least * largest;
  // A row after the other.
  for (int k = 0; k < A; ++k) {
    float* row = rows + std::int64_t{k} * A;
    const float pivot = row[k], scale = pivot > least ? 1 / sqrtf(pivot) : 0.0f;
    // Everybody has read the pivot.
    __syncthreads();
    for (int a = k + thread; a < A; a += kFactorThreads) row[a] *= scale;
    __syncthreads();
    if (scale == 0) continue;
    for (int below = k + 1 + warp; below < A; below += kFactorThreads / kWarp) {
      const float share = row[below];
      for (int a = below + lane; a < A; a += kWarp) rows[std::int64_t{below} * A + a] -= share * row[a];
    }
    __syncthreads();
  }
}

struct Draws {
  int N, C, A, M;
  int R;  // directions, low rank; -1: full
  const std::int32_t *labels, *slots;
  const float *features, *ratio;
  const float* rows;        // (most,A,A), full
  const float* covariance;  // (C,A) diagonal, (C,1+R,A) low rank
  std::uint64_t seed;
  std::int32_t* step;
  unsigned* ticket;
  float* drawn;
  std::int32_t* labels_of_drawn;
};

// Four normal numbers.
struct Four {
  float values[4];
};
__device__ __forceinline__ Four normal_numbers(const Draws& op, std::int32_t step, std::int64_t draw, int group) {
  const PhiloxCounter words = words_of_draw(op.seed, step, draw, group);
  const auto word = [&](int i) { return words[static_cast<std::size_t>(i)]; };
  Four result;
#pragma unroll
  for (int pair = 0; pair < 4; pair += 2) {
    // NOTE: from above 0 to 1, for the logarithm's sake.
    const float radius = sqrtf(-2 * logf(static_cast<float>((word(pair) >> 8) + 1) * 0x1p-24f));
    // NOTE: an angle in half turns needs no reduction, whose slow path would take memory of every thread.
    const float half_turns = 2 * uniform_float(word(pair + 1));
    result.values[pair] = radius * cospif(half_turns);
    result.values[pair + 1] = radius * sinpif(half_turns);
  }
  return result;
}

// One of them.
__device__ __forceinline__ float normal_number(const Draws& op, std::int32_t step, std::int64_t draw, int k) {
  const Four four = normal_numbers(op, step, draw, k / 4);
  const float first = k % 2 == 0 ? four.values[0] : four.values[1], second = k % 2 == 0 ? four.values[2] : four.values[3];
  return k % 4 < 2 ? first : second;
}

// Every block has read the step: the next draws are others.
__device__ __forceinline__ void count_step(const Draws& op, std::int32_t step) {
  if (is_last_block(op.ticket, gridDim.x) && threadIdx.x == 0) *op.step = step + 1;
}

// Blocks: samples by eights of draws by 128 features, the last fastest.
__global__ void __launch_bounds__(kThreads) draw_kernel(const __grid_constant__ Draws op) {
  SIMT_SHARED(numbers, float[kDraws][kThreads]);
  const std::int32_t step = *op.step;
  const int thread = static_cast<int>(threadIdx.x), A = op.A, tiles = (A + kThreads - 1) / kThreads, eights = (op.M + kDraws - 1) / kDraws;
  const int unit = static_cast<int>(blockIdx.x), i = unit / (tiles * eights), first_draw = unit / tiles % eights * kDraws;
  const int first = unit % tiles * kThreads, a = first + thread, label = op.labels[i];
  const bool is_class = label >= 0 && label < op.C;
  // What the numbers are multiplied by: rows of L^T, which begin at the diagonal, or directions.
  const bool is_full = op.R < 0;
  const float* of_class = op.covariance + std::int64_t{is_class && !is_full ? label : 0} * (1 + op.R) * A;
  const float* rows = is_full ? op.rows + std::int64_t{is_class ? op.slots[label] : 0} * A * A : of_class + A;
  const int rows_here = is_full ? (first + kThreads < A ? first + kThreads : A) : op.R;
  float sums[kDraws] = {};
  for (int chunk = 0; chunk < rows_here; chunk += kThreads) {
    for (int at = thread; at < kDraws * kThreads / 4; at += kThreads) {
      const int m = at / (kThreads / 4), group = at % (kThreads / 4);
      const Four four = normal_numbers(op, step, std::int64_t{i} * op.M + first_draw + m, chunk / 4 + group);
#pragma unroll
      for (int k = 0; k < 4; ++k) numbers[m][4 * group + k] = four.values[k];
    }
    __syncthreads();
    for (int k = 0; k < kThreads && is_class; ++k) {
      const bool is_there = a < A && chunk + k < rows_here && (!is_full || chunk + k <= a);
      const float share = is_there ? rows[std::int64_t{chunk + k} * A + a] : 0.0f;
#pragma unroll
      for (int m = 0; m < kDraws; ++m) sums[m] += share * numbers[m][k];
    }
    // The numbers may be written again.
    __syncthreads();
  }
  const float strength = sqrtf(*op.ratio), deviation = !is_full && is_class && a < A ? sqrtf(of_class[a]) : 0.0f;
#pragma unroll
  for (int m = 0; m < kDraws; ++m) {
    if (first_draw + m >= op.M) break;
    const std::int64_t draw = std::int64_t{i} * op.M + first_draw + m;
    if (!is_full) sums[m] += deviation * normal_number(op, step, draw, static_cast<int>(first_of_diagonal(op.R)) + a);
    if (a < A) op.drawn[draw * A + a] = is_class ? op.features[std::int64_t{i} * A + a] + strength * sums[m] : nanf("");
    if (a == 0) op.labels_of_drawn[draw] = label;
  }
  count_step(op, step);
}

// Threads: draws by groups of four features.
__global__ void __launch_bounds__(kThreads) draw_diagonal_kernel(const __grid_constant__ Draws op) {
  const std::int32_t step = *op.step;
  const int groups = (op.A + 3) / 4;
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x, draw = at / groups;
  if (draw < std::int64_t{op.N} * op.M) {
    const int i = static_cast<int>(draw / op.M), group = static_cast<int>(at % groups), label = op.labels[i];
    const bool is_class = label >= 0 && label < op.C;
    const float strength = sqrtf(*op.ratio);
    const Four four = normal_numbers(op, step, draw, group);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int a = 4 * group + k;
      if (a >= op.A) break;
      const float deviation = is_class ? sqrtf(op.covariance[std::int64_t{label} * op.A + a]) : nanf("");
      op.drawn[draw * op.A + a] = op.features[std::int64_t{i} * op.A + a] + strength * deviation * four.values[k];
    }
    if (group == 0) op.labels_of_drawn[draw] = label;
  }
  count_step(op, step);
}

// Threads: features of samples.
__global__ void __launch_bounds__(kThreads)
    add_draws_kernel(const float* __restrict__ ddrawn, std::int64_t features, int A, int M, float* __restrict__ dfeatures) {
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= features) return;
  const float* from = ddrawn + at / A * M * A + at % A;
  float sum = 0;
  for (int m = 0; m < M; ++m) sum += from[std::int64_t{m} * A];
  dfeatures[at] = sum;
}

}  // namespace

void run(Cuda, const Context& context, const IsdaDraw& op) {
  const auto [N, A] = op.features.extents<2>();
  const std::int64_t C = op.covariance.extent(0);
  Scratch scratch = context.scratch();
  Draws draws{.N = static_cast<int>(N),
              .C = static_cast<int>(C),
              .A = static_cast<int>(A),
              .M = static_cast<int>(op.draws),
              .R = is_low_rank(op.covariance) ? static_cast<int>(directions_of(op.covariance)) : -1,
              .labels = op.labels.as<std::int32_t>(),
              .slots = nullptr,
              .features = op.features.as<float>(),
              .ratio = op.ratio.as<float>(),
              .rows = nullptr,
              .covariance = op.covariance.as<float>(),
              .seed = op.seed,
              .step = op.step.as<std::int32_t>(),
              .ticket = context.tickets(1),
              .drawn = op.drawn.as<float>(),
              .labels_of_drawn = op.labels_of_drawn.as<std::int32_t>()};
  if (is_diagonal(op.covariance)) {
    const unsigned blocks = blocks_for(N * op.draws * ((A + 3) / 4), kThreads);
    launch(context, LaunchShape{.name = "isda_draw_diagonal", .grid = blocks, .block = kThreads}, draw_diagonal_kernel, draws);
    return;
  }
  const unsigned blocks = static_cast<unsigned>(N) * blocks_for(op.draws, kDraws) * blocks_for(A, kThreads);
  const LaunchShape shape{.name = "isda_draw", .grid = blocks, .block = kThreads};
  if (is_low_rank(op.covariance)) return launch(context, shape, draw_kernel, draws);
  auto* slots = scratch.take<std::int32_t>(C);
  const Membership members = membership_of(context, scratch, op.labels, C, slots);
  const Factors factors{.members = members,
                        .A = draws.A,
                        .least = static_cast<float>(least_pivot(A)),
                        .covariance = op.covariance.as<float>(),
                        .rows = scratch.take<float>(members.most * A * A)};
  launch(context, LaunchShape{.name = "isda_factor", .grid = static_cast<unsigned>(members.most), .block = kFactorThreads}, factor_kernel, factors);
  draws.slots = slots;
  draws.rows = factors.rows;
  launch(context, shape, draw_kernel, draws);
}

void run(Cuda, const Context& context, const IsdaDrawBackward& op) {
  const auto A = static_cast<int>(op.dfeatures.extent(1)), M = static_cast<int>(op.ddrawn.extent(0) / op.dfeatures.extent(0));
  launch(context, LaunchShape{.name = op.name, .grid = blocks_for(op.dfeatures.size(), kThreads), .block = kThreads}, add_draws_kernel, op.ddrawn.as<float>(),
         op.dfeatures.size(), A, M, op.dfeatures.as<float>());
}

}  // namespace isda::kernels
