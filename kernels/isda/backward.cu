// SPDX-License-Identifier: Apache-2.0
// IsdaBackward: the plain gradients are a linear layer's; then dW receives the correction's, which the sums over the two indices of
// h[c,j] = g[c,j] U_c[j] are, with g = ratio Gc: dW[j] += sum_c h[c,j] and dW[c] -= sum_j h[c,j].
//
//   linear       dF = G W, dW = G^T F, db = sum_i G[i] (kernels/linear)
//   membership   the batch sorted by class (membership.cuh)
//   gather       g[c,j] = ratio * sum over the samples of c of G[i,j], in order; a thread an element
//   own          for the present classes: own[c] = sum_j h[c,j]
//   others       dW[j] += sum_c h[c,j] - own[j]
//                full: a thread of the last two a packet of features and every eighth summand, which lie in rows; then the eight are added in order
//                diagonal: U_c[j] = (w_j - w_c) s_c is not kept but made again, in tiles of 64 x 64 (tile.cuh)
//
//   bytes  full: U twice, the second time from L2 where it fits (18 MB at K = 72, C = 100, A = 640); diagonal: weight and s a few times
//   FLOP   4 N C A + 4 K C A, the second half bound by memory; diagonal 7 K C A
//
// Where the ratio is 0 nothing is corrected, whatever U holds.
#include <limits>

#include "kernels/isda/convert.cuh"
#include "kernels/isda/isda.h"
#include "kernels/isda/membership.cuh"
#include "kernels/isda/tile.cuh"
#include "kernels/linear/linear.h"

namespace isda::kernels {

namespace {

using tile::Neighbours;

constexpr int kThreads = 256;
constexpr int kColumns = 32, kLines = kThreads / kColumns;  // of the sums over rows of U: packets side by side, rows at a time

// What all kernels of the correction are told.
struct Correction {
  Membership members;
  int C, A;
  const float* ratio;
  const float* weight;        // (C,A)
  const float* u;             // (most,C,A), full
  const float* variance;      // (C,A), diagonal
  const std::int32_t* slots;  // (C)
  float* g;                   // (most,C)
  float* own;                 // (most,A)
  float* dweight;             // (C,A)

  // The slot of class j, -1 when it is absent.
  // NOTE: looked up in both directions, so that the slots of another batch lead nowhere.
  __device__ int slot_of(int j) const {
    const int slot = slots[j];
    return slot >= 0 && slot < *members.present && members.classes[slot] == j ? slot : -1;
  }
};

// Blocks: slots by classes j. NOTE: nobody on the card can refuse the slots of another batch; they make dW NaN.
__global__ void __launch_bounds__(kThreads) gather_kernel(const __grid_constant__ Correction op, const float* __restrict__ daugmented) {
  const int slot = static_cast<int>(blockIdx.x), j = static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x);
  if (*op.ratio == 0 || slot >= *op.members.present || j >= op.C) return;
  const int m = op.members.count(slot);
  const int* samples = op.members.samples + op.members.begin[slot];
  float sum = 0;
  for (int k = 0; k < m; ++k) sum += daugmented[std::int64_t{samples[k]} * op.C + j];
  const bool are_slots_of_batch = op.slots[op.members.classes[slot]] == slot;
  op.g[std::int64_t{slot} * op.C + j] = are_slots_of_batch ? *op.ratio * sum : std::numeric_limits<float>::quiet_NaN();
}

// ---- full ----

// Rows of U and their factors, each a stride behind the one before.
struct Rows {
  const float *factor, *row;
  std::int64_t factor_step, row_step;
  int count;
};

// sum over i of factor(i) row(i), for the `width` features from a on; for line 0. All threads of the block come here.
template <int width>
__device__ __forceinline__ void add_rows(const Rows& rows, int a, int A, float (&sum)[width]) {
  SIMT_SHARED(partial, Packed<float, width>[kLines][kColumns]);
  const int column = static_cast<int>(threadIdx.x) % kColumns, line = static_cast<int>(threadIdx.x) / kColumns;
  if (a < A) {
#pragma unroll 4
    for (int i = line; i < rows.count; i += kLines) {
      const float factor = rows.factor[i * rows.factor_step];
      float values[width];
      load_packed(rows.row + i * rows.row_step + a, values);
#pragma unroll
      for (int w = 0; w < width; ++w) sum[w] += factor * values[w];
    }
  }
  store_whole(&partial[line][column], pack<float>(sum));
  __syncthreads();
  if (line != 0) return;
  for (int other = 1; other < kLines; ++other) {
    float values[width];
    unpack(load_whole(&partial[other][column]), values);
#pragma unroll
    for (int w = 0; w < width; ++w) sum[w] += values[w];
  }
}

// The first feature of this thread, where blocks are (rows, features).
template <int width>
__device__ __forceinline__ int first_feature() {
  return (static_cast<int>(blockIdx.y) * kColumns + static_cast<int>(threadIdx.x) % kColumns) * width;
}
__device__ __forceinline__ bool is_first_line() { return threadIdx.x < kColumns; }

// Blocks: slots by features.
template <int width>
__global__ void __launch_bounds__(kThreads) own_kernel(const __grid_constant__ Correction op) {
  const int slot = static_cast<int>(blockIdx.x), a = first_feature<width>();
  if (*op.ratio == 0 || slot >= *op.members.present) return;
  const std::int64_t first = std::int64_t{slot} * op.C;
  float sum[width] = {};
  add_rows<width>({.factor = op.g + first, .row = op.u + first * op.A, .factor_step = 1, .row_step = op.A, .count = op.C}, a, op.A, sum);
  if (is_first_line() && a < op.A) store_packed(op.own + std::int64_t{slot} * op.A + a, sum);
}

// Blocks: classes j by features.
template <int width>
__global__ void __launch_bounds__(kThreads) others_kernel(const __grid_constant__ Correction op) {
  const int j = static_cast<int>(blockIdx.x), a = first_feature<width>();
  if (*op.ratio == 0) return;
  const Rows rows{
      .factor = op.g + j, .row = op.u + std::int64_t{j} * op.A, .factor_step = op.C, .row_step = std::int64_t{op.C} * op.A, .count = *op.members.present};
  float sum[width] = {};
  add_rows<width>(rows, a, op.A, sum);
  if (!is_first_line() || a >= op.A) return;
  const int slot = op.slot_of(j);
  float own[width] = {}, gradient[width];
  if (slot >= 0) load_packed(op.own + std::int64_t{slot} * op.A + a, own);
  load_packed(op.dweight + std::int64_t{j} * op.A + a, gradient);
#pragma unroll
  for (int w = 0; w < width; ++w) gradient[w] += sum[w] - own[w];
  store_packed(op.dweight + std::int64_t{j} * op.A + a, gradient);
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
__global__ void __launch_bounds__(tile::kThreads, tile::kBlocks) own_diagonal_kernel(const __grid_constant__ Correction op) {
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
      [&](int i, int j, float g, const float(&w)[1][tile::kOwn]) { return g * (w[0][j] - w_c[i][j]); }, sums);
  load_own<width>(op.variance, A, column, own_class, s_c);
#pragma unroll
  for (int i = 0; i < tile::kOwn; ++i) {
#pragma unroll
    for (int j = 0; j < tile::kOwn; ++j) sums[i][j] *= s_c[i][j];
    tile::store_four<width>(op.own + std::int64_t{own_slot + i} * A + column, own_slot + i < present ? A - column : 0, sums[i]);
  }
}

// Blocks: 64 classes j by 64 features. dW[j] += sum_c g[c,j] (w_j - w_c) s_c - own[j]
template <int width>
// NOTE: two blocks of a multiprocessor at once, since w_j stays in registers beside the sums.
__global__ void __launch_bounds__(tile::kThreads, 2) others_diagonal_kernel(const __grid_constant__ Correction op) {
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
      [&](int i, int j, float g, const float(&c)[2][tile::kOwn]) { return g * ((w_j[i][j] - c[0][j]) * c[1][j]); }, sums);
  load_own<width>(
      op.own, A, column, [&](int i) { return own_class + i < C ? op.slot_of(own_class + i) : -1; }, own);
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
void correct(const Context& context, const Correction& op) {
  const auto most = static_cast<unsigned>(op.members.most), classes = static_cast<unsigned>(op.C);
  if (op.u) {
    const unsigned features = blocks_for(op.A, kColumns * width);
    launch(context, {.name = "isda_backward_own", .grid = dim3(most, features), .block = kThreads}, own_kernel<width>, op);
    launch(context, {.name = "isda_backward_others", .grid = dim3(classes, features), .block = kThreads}, others_kernel<width>, op);
  } else {
    const unsigned features = blocks_for(op.A, tile::kExtent);
    launch(context, {.name = "isda_backward_own_diagonal", .grid = dim3(blocks_for(most, tile::kExtent), features), .block = tile::kThreads},
           own_diagonal_kernel<width>, op);
    launch(context, {.name = "isda_backward_others_diagonal", .grid = dim3(blocks_for(classes, tile::kExtent), features), .block = tile::kThreads},
           others_diagonal_kernel<width>, op);
  }
}

}  // namespace

void run(Cuda, const Context& context, const IsdaBackward& op) {
  const auto [N, A] = op.features.extents<2>();
  const std::int64_t C = op.weight.extent(0);
  Scratch scratch = context.scratch();
  // The plain gradients.
  dispatch_cuda(op.name, op.features.type(), [&, N = N, A = A]<class T>() {
    LinearBackward linear{.dy = op.daugmented,
                          .x = as_f32(context, scratch, op.name, op.features),
                          .weight = op.weight,
                          .dx = op.dfeatures,
                          .dweight = op.dweight,
                          .dbias = op.dbias};
    if constexpr (std::is_same_v<T, float>) {
      run(Cuda{}, context, linear);
    } else {
      float* dfeatures = scratch.take<float>(N * A);
      linear.dx = View(dfeatures, DType::f32, {N, A});
      run(Cuda{}, context, linear);
      convert_elements(context, dfeatures, elements<T>(op.dfeatures), N * A);
    }
  });
  // The correction.
  const Membership members = membership_of(context, scratch, op.labels, C, nullptr);
  const std::int64_t most = members.most;
  const Correction correction{.members = members,
                              .C = static_cast<int>(C),
                              .A = static_cast<int>(A),
                              .ratio = op.ratio.as<float>(),
                              .weight = op.weight.as<float>(),
                              .u = op.u.as<float>(),
                              .variance = op.u ? nullptr : op.covariance.as<float>(),
                              .slots = op.slots.as<std::int32_t>(),
                              .g = scratch.take<float>(most * C),
                              .own = scratch.take<float>(most * A),
                              .dweight = op.dweight.as<float>()};
  launch(context, LaunchShape{.name = "isda_gather", .grid = dim3(static_cast<unsigned>(most), blocks_for(C, kThreads)), .block = kThreads}, gather_kernel,
         correction, op.daugmented.as<float>());
  dispatch_width<float>(A, are_aligned({op.weight, op.covariance, op.u, op.dweight}), [&]<int width>() { correct<width>(context, correction); });
}

}  // namespace isda::kernels
