// SPDX-License-Identifier: Apache-2.0
// The correction's share of dW: the sums over both indices of h[c,j] = g[c,j] U_c[j] are sum_c h[c,j] for w_j and sum_j h[c,j] for w_c, own[c].
//
//   full       one pass over U makes both: a block takes 64 features of 128 classes j of 8 slots; a thread keeps the sums over the slots for its four
//              features of every 16th j, and leaves those over its j to be added by the block. Then they are added up over the blocks, in order.
//   diagonal   own[c] in tiles of 64 x 64 (tile.cuh), then dW[j] += sum_c h[c,j] - own[j] in others
//
//   bytes  full: U once; an eighth of it, and a 128th, written and read once more; diagonal: weight and s a few times
//   FLOP   full: 4 K C A, bound by memory; diagonal: 7 K C A
#include "kernels/isda/weight_correction.cuh"

#include "kernels/isda/tile.cuh"

namespace isda::kernels {

namespace {

using tile::Neighbours;

// ---- full ----

constexpr int kThreads = 256;
constexpr int kSide = 16, kLines = kThreads / kSide;  // threads side by side, four features each; lines of them
constexpr int kFeatures = 4 * kSide;                  // of a block
constexpr int kOwn = 8, kClasses = kOwn * kLines;     // classes j of a thread, of a block
constexpr int kSlots = 8;                             // of a block

// Sums over a block's slots and over its classes.
struct Sums {
  float* others;  // (groups of slots,C,A)
  float* own;     // (groups of classes,most,A)
};

// g sum_k t_k[j] z_k for the classes j that are this thread's from `first_class` on.
template <int width>
__device__ __forceinline__ void add_terms(const WeightCorrection& op, int slot, int first_class, int a, const float (&g)[kOwn], float (&of_class)[kOwn][4],
                                          float (&of_slot)[4]) {
  const int rank = op.terms.rank(op.members, slot);
  const float* z = op.terms.rows + op.terms.first_row(op.members, slot) * op.A + a;
  const float* t = op.projections + CovarianceTerms::row_of_slot(op.members, slot) * op.C + first_class;
  for (int k = 0; k < rank; ++k, z += op.A, t += op.C) {
    float term[4], along = 0;
    tile::load_four<width>(z, op.A - a, term);
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const float share = first_class + kLines * i < op.C ? g[i] * t[kLines * i] : 0.0f;
      along += share;
#pragma unroll
      for (int f = 0; f < 4; ++f) of_class[i][f] += share * term[f];
    }
#pragma unroll
    for (int f = 0; f < 4; ++f) of_slot[f] += along * term[f];
  }
}

// Blocks: 64 features by 8 slots by 128 classes j. has_terms: U' takes the place of U.
template <int width, bool has_terms>
__global__ void __launch_bounds__(kThreads) weight_pass_kernel(const __grid_constant__ WeightCorrection op, const __grid_constant__ Sums sums) {
  SIMT_SHARED(shared, float[kSlots][kLines][kFeatures]);
  const int column = static_cast<int>(threadIdx.x) % kSide * 4, line = static_cast<int>(threadIdx.x) / kSide;
  const int a = static_cast<int>(blockIdx.x) * kFeatures + column, left = op.A - a;
  const int group = static_cast<int>(blockIdx.y), first_slot = group * kSlots, first_class = static_cast<int>(blockIdx.z) * kClasses;
  const int slots_left = *op.members.present - first_slot, slots = slots_left < kSlots ? slots_left : kSlots;
  if (*op.ratio == 0 || slots <= 0) return;

  // Walk over the slots.
  float of_class[kOwn][4] = {};
  for (int s = 0; s < slots; ++s) {
    const std::int64_t first = std::int64_t{first_slot + s} * op.C;
    const float keep = has_terms ? op.terms.kept(op.members, first_slot + s) : 1.0f;
    float of_slot[4] = {}, g[kOwn];
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int j = first_class + line + kLines * i;
      g[i] = j < op.C ? op.g[first + j] : 0.0f;
      const float kept = has_terms ? keep * g[i] : g[i];
      float u[4];
      tile::load_four<width>(op.u + (first + j) * op.A + a, j < op.C ? left : 0, u);
#pragma unroll
      for (int f = 0; f < 4; ++f) {
        of_class[i][f] += kept * u[f];
        of_slot[f] += kept * u[f];
      }
    }
    if constexpr (has_terms) add_terms<width>(op, first_slot + s, first_class + line, a, g, of_class, of_slot);
    store_packed(&shared[s][line][column], of_slot);
  }
  // Leave the sums over the slots.
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
    const int j = first_class + line + kLines * i;
    tile::store_four<width>(sums.others + (std::int64_t{group} * op.C + j) * op.A + a, j < op.C ? left : 0, of_class[i]);
  }
  // Add up those over the classes, line by line.
  __syncthreads();
  if (line >= slots) return;
  float sum[4];
  load_packed(&shared[line][0][column], sum);
  for (int other = 1; other < kLines; ++other) {
    float values[4];
    load_packed(&shared[line][other][column], values);
#pragma unroll
    for (int f = 0; f < 4; ++f) sum[f] += values[f];
  }
  tile::store_four<width>(sums.own + (std::int64_t{blockIdx.z} * op.members.most + first_slot + line) * op.A + a, left, sum);
}

// Blocks: 64 features by 16 classes j. dW[j] += sum_c h[c,j] - own[j]
template <int width>
__global__ void __launch_bounds__(kThreads)
    weight_add_kernel(const __grid_constant__ WeightCorrection op, const __grid_constant__ Sums sums, int class_groups) {
  const int a = static_cast<int>(blockIdx.x) * kFeatures + static_cast<int>(threadIdx.x) % kSide * 4;
  const int j = static_cast<int>(blockIdx.y) * kLines + static_cast<int>(threadIdx.x) / kSide;
  if (*op.ratio == 0 || j >= op.C || a >= op.A) return;
  const int left = op.A - a, slot_groups = (*op.members.present + kSlots - 1) / kSlots, slot = op.slot_of(j);
  const auto add_rows = [&](const float* rows, std::int64_t step, int count, float(&sum)[4]) {
#pragma unroll 4
    for (int row = 0; row < count; ++row) {
      float values[4];
      tile::load_four<width>(rows + row * step, left, values);
#pragma unroll
      for (int f = 0; f < 4; ++f) sum[f] += values[f];
    }
  };
  float others[4] = {}, own[4] = {}, gradient[4];
  add_rows(sums.others + std::int64_t{j} * op.A + a, std::int64_t{op.C} * op.A, slot_groups, others);
  if (slot >= 0) add_rows(sums.own + std::int64_t{slot} * op.A + a, std::int64_t{op.members.most} * op.A, class_groups, own);
  float* to = op.dweight + std::int64_t{j} * op.A + a;
  tile::load_four<width>(to, left, gradient);
#pragma unroll
  for (int f = 0; f < 4; ++f) gradient[f] += others[f] - own[f];
  tile::store_four<width>(to, left, gradient);
}

template <int width>
void correct_full(const Context& context, Scratch& scratch, const WeightCorrection& op) {
  const unsigned features = blocks_for(op.A, kFeatures), slot_groups = blocks_for(op.members.most, kSlots), class_groups = blocks_for(op.C, kClasses);
  const Sums sums{.others = scratch.take<float>(std::int64_t{slot_groups} * op.C * op.A),
                  .own = scratch.take<float>(std::int64_t{class_groups} * op.members.most * op.A)};
  const auto pass = op.projections ? weight_pass_kernel<width, true> : weight_pass_kernel<width, false>;
  launch(context, LaunchShape{.name = "isda_weight_pass", .grid = dim3(features, slot_groups, class_groups), .block = kThreads}, pass, op, sums);
  launch(context, LaunchShape{.name = "isda_weight_add", .grid = dim3(features, blocks_for(op.C, kLines)), .block = kThreads}, weight_add_kernel<width>, op,
         sums, static_cast<int>(class_groups));
}

// ---- diagonal ----

// This thread's elements of a matrix of A columns: the rows that row_of(i) names, zeros where it is negative.
template <int width, class RowOf>
__device__ __forceinline__ void load_own(const float* matrix, int A, int column, RowOf&& row_of, float (&values)[tile::kOwn][tile::kOwn]) {
#pragma unroll
  for (int i = 0; i < tile::kOwn; ++i) {
    const int row = row_of(i);
    tile::load_four<width>(row >= 0 ? matrix + std::int64_t{row} * A + column : matrix, row >= 0 ? A - column : 0, values[i]);
  }
}

// Blocks: 64 slots by 64 features. own[c] = s_c sum_j g[c,j] (w_j - w_c)
template <int width>
__global__ void __launch_bounds__(tile::kThreads, tile::kBlocks) own_diagonal_kernel(const __grid_constant__ WeightCorrection op, float* own) {
  SIMT_SHARED(step, tile::Step<>);
  const int C = op.C, A = op.A, present = *op.members.present;
  const int first_slot = static_cast<int>(blockIdx.x) * tile::kExtent, first_feature = static_cast<int>(blockIdx.y) * tile::kExtent;
  if (*op.ratio == 0 || first_slot >= present) return;
  const int own_slot = first_slot + tile::own_row(), column = first_feature + tile::own_column();
  const auto own_class = [&](int i) { return own_slot + i < present ? op.members.classes[own_slot + i] : -1; };
  float w_c[tile::kOwn][tile::kOwn], s_c[tile::kOwn][tile::kOwn], sums[tile::kOwn][tile::kOwn] = {};
  load_own<width>(op.weight, A, column, own_class, w_c);
  tile::add_terms<Neighbours::along_k, Neighbours::along_tile>(
      step, C,
      [&](int position, int k, float(&values)[4]) {
        const int slot = first_slot + position;
        tile::load_four<1>(op.g + std::int64_t{slot} * C + k, slot < present ? C - k : 0, values);
      },
      [&](int position, int k, float(&values)[1][4]) {
        const int a = first_feature + position;
        tile::load_four<width>(op.weight + std::int64_t{k} * A + a, k < C ? A - a : 0, values[0]);
      },
      [&](float& sum, int i, int j, float g, const float(&w)[1][tile::kOwn]) { sum += g * (w[0][j] - w_c[i][j]); }, sums);
  load_own<width>(op.variance, A, column, own_class, s_c);
#pragma unroll
  for (int i = 0; i < tile::kOwn; ++i) {
#pragma unroll
    for (int j = 0; j < tile::kOwn; ++j) sums[i][j] *= s_c[i][j];
    tile::store_four<width>(own + std::int64_t{own_slot + i} * A + column, own_slot + i < present ? A - column : 0, sums[i]);
  }
}

// Blocks: 64 classes j by 64 features. dW[j] += sum_c g[c,j] (w_j - w_c) s_c - own[j]
template <int width>
// NOTE: two blocks of a multiprocessor at once, since w_j stays in registers beside the sums.
__global__ void __launch_bounds__(tile::kThreads, 2) others_diagonal_kernel(const __grid_constant__ WeightCorrection op, const float* own_of_slots) {
  SIMT_SHARED(step, tile::Step<2>);
  const int C = op.C, A = op.A, present = *op.members.present;
  const int first_class = static_cast<int>(blockIdx.x) * tile::kExtent, first_feature = static_cast<int>(blockIdx.y) * tile::kExtent;
  if (*op.ratio == 0) return;
  const int own_class = first_class + tile::own_row(), column = first_feature + tile::own_column();
  const auto class_of = [&](int i) { return own_class + i < C ? own_class + i : -1; };
  float w_j[tile::kOwn][tile::kOwn], own[tile::kOwn][tile::kOwn], sums[tile::kOwn][tile::kOwn] = {};
  load_own<width>(op.weight, A, column, class_of, w_j);
  tile::add_terms<Neighbours::along_tile, Neighbours::along_tile>(
      step, present,
      [&](int position, int slot, float(&values)[4]) {
        const int j = first_class + position;
        tile::load_four<1>(op.g + std::int64_t{slot} * C + j, slot < present ? C - j : 0, values);
      },
      [&](int position, int slot, float(&values)[2][4]) {
        const int a = first_feature + position, left = slot < present ? A - a : 0;
        const std::int64_t at = slot < present ? std::int64_t{op.members.classes[slot]} * A + a : 0;
        tile::load_four<width>(op.weight + at, left, values[0]);
        tile::load_four<width>(op.variance + at, left, values[1]);
      },
      [&](float& sum, int i, int j, float g, const float(&c)[2][tile::kOwn]) { sum += g * ((w_j[i][j] - c[0][j]) * c[1][j]); }, sums);
  load_own<width>(
      own_of_slots, A, column, [&](int i) { return own_class + i < C ? op.slot_of(own_class + i) : -1; }, own);
#pragma unroll
  for (int i = 0; i < tile::kOwn; ++i) {
    float* to = op.dweight + std::int64_t{own_class + i} * A + column;
    const int left = own_class + i < C ? A - column : 0;
    float gradient[4];
    tile::load_four<width>(to, left, gradient);
#pragma unroll
    for (int j = 0; j < tile::kOwn; ++j) gradient[j] += sums[i][j] - own[i][j];
    tile::store_four<width>(to, left, gradient);
  }
}

template <int width>
void correct_diagonal(const Context& context, Scratch& scratch, const WeightCorrection& op) {
  const unsigned features = blocks_for(op.A, tile::kExtent), slots = blocks_for(op.members.most, tile::kExtent), classes = blocks_for(op.C, tile::kExtent);
  float* own = scratch.take<float>(std::int64_t{op.members.most} * op.A);
  launch(context, LaunchShape{.name = "isda_weight_own_diagonal", .grid = dim3(slots, features), .block = tile::kThreads}, own_diagonal_kernel<width>, op, own);
  launch(context, LaunchShape{.name = "isda_weight_others_diagonal", .grid = dim3(classes, features), .block = tile::kThreads}, others_diagonal_kernel<width>,
         op, own);
}

}  // namespace

void correct_weight_gradient(const Context& context, Scratch& scratch, const WeightCorrection& op) {
  const auto is_aligned = [](const float* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; };
  dispatch_width<float>(op.A, is_aligned(op.weight) && is_aligned(op.variance) && is_aligned(op.u) && is_aligned(op.dweight), [&]<int width>() {
    if (op.u)
      correct_full<width>(context, scratch, op);
    else
      correct_diagonal<width>(context, scratch, op);
  });
}

}  // namespace isda::kernels
