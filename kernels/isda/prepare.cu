// SPDX-License-Identifier: Apache-2.0
// IsdaPrepare and IsdaSettle on the card.
//
//   membership   the batch sorted by class (membership.cuh)
//   settle       what is pending of absent classes without rows of their own; nearly always nothing
//   correction   one pass over the covariances of present classes, which adds what is pending and gives U and Q by parts (correction.cuh)
//   add parts    Q, and the counts of what is pending no more
//
//   4 launches, 5 with plain products; IsdaSettle 2.   bytes  S_c of K classes read and written once, U written once
#include "kernels/isda/correction.cuh"
#include "kernels/isda/covariance_tile.cuh"
#include "kernels/isda/prepared.cuh"

namespace isda::kernels {

namespace {

// ---- what is due ----

// Which classes' terms a settling takes: those with more than `beyond` of them that are absent, where slots tell it.
struct Due {
  const std::int32_t* count;  // (C)
  const std::int32_t* slots;  // (C), or null: all
  int C, beyond;

  __device__ bool is_due(int c) const { return c < C && count[c] > beyond && (!slots || slots[c] < 0); }
};

constexpr int kSettlingBlocks = 2;  // of a multiprocessor at once

// Blocks: as many as the card has room for. They look through the classes, 256 at a time, and share out the tiles of those that are due.
template <int width>
__global__ void __launch_bounds__(tile::kThreads, kSettlingBlocks)
    settle_kernel(const __grid_constant__ Due due, const __grid_constant__ CovarianceTerms terms, int A, int tiles, float* covariance) {
  SIMT_SHARED(step, tile::Step<>);
  SIMT_SHARED(found, unsigned[tile::kThreads / kWarp]);
  const int thread = static_cast<int>(threadIdx.x);
  for (int first = 0; first < due.C; first += tile::kThreads) {
    const unsigned mine = __ballot_sync(kAllLanes, due.is_due(first + thread));
    if (thread % kWarp == 0) found[thread / kWarp] = mine;
    __syncthreads();
    for (int warp = 0; warp < tile::kThreads / kWarp; ++warp) {
      for (unsigned left = found[warp]; left != 0; left &= left - 1) {
        const int c = first + warp * kWarp + __ffs(static_cast<int>(left)) - 1;
        for (int at = static_cast<int>(blockIdx.x); at < tiles * tiles; at += static_cast<int>(gridDim.x)) {
          add_terms_to_tile<width>(step, covariance + std::int64_t{c} * A * A, A, at / tiles, at % tiles, terms.keep[c],
                                   terms.rows + std::int64_t{terms.first[c]} * A, terms.count[c]);
        }
      }
    }
    // The words may be written again.
    __syncthreads();
  }
}

void settle(const Context& context, const View& covariance, const CovarianceTerms& terms, const Due& due) {
  const int A = static_cast<int>(covariance.extent(1)), tiles = static_cast<int>(blocks_for(A, tile::kExtent));
  const auto grid = static_cast<unsigned>(std::min(tiles * tiles, kSettlingBlocks * cuda::card().multiprocessors));
  dispatch_width<float>(A, are_aligned({covariance}), [&]<int width>() {
    launch(context, {.name = "isda_settle", .grid = grid, .block = tile::kThreads}, settle_kernel<width>, due, terms, A, tiles, covariance.as<float>());
  });
}

constexpr int kThreads = 128;

// A thread a class.
__global__ void __launch_bounds__(kThreads) forget_kernel(std::int32_t* count, int C) {
  const int c = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (c < C) count[c] = 0;
}

// ---- Q ----

// Blocks: slots, and then those of 128 classes, by 128 classes j in the first: a thread the sum of an element's parts, or the count of a class.
__global__ void __launch_bounds__(kThreads) add_parts_kernel(const __grid_constant__ Membership members, const __grid_constant__ CorrectionTable table, int C,
                                                             const __grid_constant__ CovarianceTerms terms, const std::int32_t* slots, float* q) {
  const int j = static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x), slot = static_cast<int>(blockIdx.x);
  if (j >= C) return;
  if (slot == members.most) {
    if (slots[j] >= 0 || terms.count[j] > terms.of_class) terms.count[j] = 0;
    return;
  }
  if (slot >= *members.present) return;
  const float* part = table.q + std::int64_t{slot} * table.parts * C + j;
  float sum = part[0];
  for (int p = 1; p < table.parts; ++p) sum += part[std::int64_t{p} * C];
  q[std::int64_t{slot} * C + j] = sum;
}

}  // namespace

void run(Cuda, const Context& context, const IsdaPrepare& op) {
  const std::int64_t C = op.weight.extent(0);
  const CovarianceTerms terms = terms_of(op.pending);
  auto* slots = op.prepared.slots.as<std::int32_t>();
  const Membership members = membership_in(op.prepared.members, op.labels.size(), C);
  sort_by_class(context, op.labels, C, members, slots);
  settle(context, op.covariance, terms, {.count = terms.count, .slots = slots, .C = static_cast<int>(C), .beyond = terms.of_class});
  Scratch scratch = context.scratch();
  const CorrectionTable table =
      correction_of(context, scratch, {.members = members, .weight = op.weight, .covariance = op.covariance, .terms = terms, .u = op.prepared.u});
  launch(context, LaunchShape{.name = "isda_add_parts", .grid = dim3(static_cast<unsigned>(members.most) + 1, blocks_for(C, kThreads)), .block = kThreads},
         add_parts_kernel, members, table, static_cast<int>(C), terms, slots, op.prepared.q.as<float>());
}

void run(Cuda, const Context& context, const IsdaSettle& op) {
  const auto C = static_cast<int>(op.covariance.extent(0));
  const CovarianceTerms terms = terms_of(op.pending);
  settle(context, op.covariance, terms, {.count = terms.count, .slots = nullptr, .C = C, .beyond = 0});
  launch(context, LaunchShape{.name = "isda_forget", .grid = blocks_for(C, kThreads), .block = kThreads}, forget_kernel, terms.count, C);
}

}  // namespace isda::kernels
