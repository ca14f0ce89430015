// SPDX-License-Identifier: Apache-2.0
// IsdaUpdate: the batch is folded into the running statistics of its classes, in three launches.
//
//   membership   the batch sorted by class (membership.cuh)
//   fold         a thread a feature of a class: the batch's mean nu, the new mean, and the terms that the covariance is yet to receive,
//                  z_k = sqrt(1 / (n+m)) (a_k - nu) for the m samples           z_m = sqrt(keep m / (n+m)) (mu - nu)        keep = n / (n+m)
//   covariance   S <- keep S + sum_k z_k z_k^T, k = 0 ... m: the whole update as m+1 outer products
//                  full: a block a tile of 64 x 64 of S_c (tile.cuh), with the rows z of its class by steps of 16; diagonal: a thread an element;
//                  low rank: low_rank_update.cu
//
//   bytes  S_c of the present classes read and written once, which is nearly all; features twice, z (N+K,A) written once, read A / 64 times from L2
//   FLOP   2 (N + K) A^2: with m = 1 to 3 samples a class, as in a batch of 128 of 100 classes, far below what the memory allows
//
// S stays symmetric to the bit: S[a,b] and S[b,a] are made of the same products in the same order, and a product does not know its factors' order.
#include <cmath>

#include "kernels/isda/covariance_tile.cuh"
#include "kernels/isda/isda.h"
#include "kernels/isda/low_rank.cuh"
#include "kernels/isda/statistics.cuh"

namespace isda::kernels {

namespace {

constexpr int kThreads = 128;  // features of a block, where a thread has one

// Blocks: slots by features. NOTE: the count stays as it is, since other blocks of the class read it too; the next launch adds to it.
template <class T>
__global__ void __launch_bounds__(kThreads)
    fold_kernel(const __grid_constant__ Membership members, const T* __restrict__ features, int A, const float* __restrict__ count, float* __restrict__ mean,
                const __grid_constant__ CovarianceTerms terms) {
  const int slot = static_cast<int>(blockIdx.x), a = static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x);
  if (slot >= *members.present || a >= A) return;
  const int c = members.classes[slot], m = members.count(slot);
  const int* samples = members.samples + members.begin[slot];
  const float n = count[c], total = n + static_cast<float>(m), w = static_cast<float>(m) / total, keep = n / total;
  const auto feature = [&](int k) { return to_float(features[std::int64_t{samples[k]} * A + a]); };
  // The mean of the batch.
  float nu = 0;
  for (int k = 0; k < m; ++k) nu += feature(k);
  nu /= static_cast<float>(m);
  // The terms of the samples.
  float* z = terms.rows + terms.begin_terms(members, slot, 0, keep, a == 0) * A + a;
  const float of_sample = sqrtf(1 / total);
  for (int k = 0; k < m; ++k) z[std::int64_t{k} * A] = of_sample * (feature(k) - nu);
  // The new mean, and the term of its move.
  float& mu = mean[std::int64_t{c} * A + a];
  const float shift = mu - nu;
  z[std::int64_t{m} * A] = sqrtf(w * keep) * shift;
  mu -= w * shift;
}

// Blocks: slots by tiles of S_c.
template <int width>
__global__ void __launch_bounds__(tile::kThreads, tile::kBlocks)
    covariance_kernel(const __grid_constant__ Membership members, const __grid_constant__ CovarianceTerms terms, int A, int tiles, float* covariance,
                      float* count) {
  SIMT_SHARED(step, tile::Step<>);
  const int slot = static_cast<int>(blockIdx.x) / (tiles * tiles), tile_of_slot = static_cast<int>(blockIdx.x) % (tiles * tiles);
  if (slot >= *members.present) return;
  const int c = members.classes[slot], rank = terms.rank(members, slot);
  if (rank == 0) return;
  add_terms_to_tile<width>(step, covariance + std::int64_t{c} * A * A, A, tile_of_slot / tiles, tile_of_slot % tiles, terms.kept(members, slot),
                           terms.rows + terms.first_row(members, slot) * A, rank);
  if (count && tile_of_slot == 0 && threadIdx.x == 0) count[c] += static_cast<float>(members.count(slot));
}

// Blocks: slots by features.
__global__ void __launch_bounds__(kThreads)
    variance_kernel(const __grid_constant__ Membership members, const __grid_constant__ CovarianceTerms terms, int A, float* variance, float* count) {
  const int slot = static_cast<int>(blockIdx.x), a = static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x);
  if (slot >= *members.present || a >= A) return;
  const int c = members.classes[slot], m = members.count(slot);
  const float* z = terms.rows + terms.first_row(members, slot) * A + a;
  float& s = variance[std::int64_t{c} * A + a];
  float sum = terms.keep[slot] * s;
  for (int k = 0; k <= m; ++k) sum += z[std::int64_t{k} * A] * z[std::int64_t{k} * A];
  s = sum;
  if (a == 0) count[c] += static_cast<float>(m);
}

}  // namespace

CovarianceTerms fold_on_card(const Context& context, Scratch& scratch, const char* operation, const Membership& members, const ConstView& features,
                             const View& count, const View& mean) {
  const auto [N, A] = features.extents<2>();
  const CovarianceTerms terms{.rows = scratch.take<float>((N + members.most) * A), .keep = scratch.take<float>(members.most)};
  dispatch_cuda(operation, features.type(), [&, A = A]<class T>() {
    launch(context, LaunchShape{.name = "isda_fold", .grid = dim3(static_cast<unsigned>(members.most), blocks_for(A, kThreads)), .block = kThreads},
           fold_kernel<T>, members, elements<T>(features), static_cast<int>(A), count.as<float>(), mean.as<float>(), terms);
  });
  return terms;
}

void add_terms_on_card(const Context& context, const Membership& members, const CovarianceTerms& terms, const View& covariance, const View& count) {
  if (is_low_rank(covariance)) return update_low_rank_on_card(context, members, terms, covariance, count);
  const int A = static_cast<int>(covariance.extent(1));
  const auto most = static_cast<unsigned>(members.most);
  if (is_full(covariance)) {
    const unsigned tiles = blocks_for(A, tile::kExtent);
    dispatch_width<float>(A, are_aligned({covariance}), [&]<int width>() {
      launch(context, {.name = "isda_update", .grid = most * tiles * tiles, .block = tile::kThreads}, covariance_kernel<width>, members, terms, A,
             static_cast<int>(tiles), covariance.as<float>(), count.as<float>());
    });
  } else {
    launch(context, LaunchShape{.name = "isda_update", .grid = dim3(most, blocks_for(A, kThreads)), .block = kThreads}, variance_kernel, members, terms, A,
           covariance.as<float>(), count.as<float>());
  }
}

void run(Cuda, const Context& context, const IsdaUpdate& op) {
  Scratch scratch = context.scratch();
  const Membership members = membership_of(context, scratch, op.labels, op.count.extent(0), nullptr);
  const CovarianceTerms terms = fold_on_card(context, scratch, op.name, members, op.features, op.count, op.mean);
  add_terms_on_card(context, members, terms, op.covariance, op.count);
}

}  // namespace isda::kernels
