// SPDX-License-Identifier: Apache-2.0
// Which samples of a batch belong to which class, and what a batch adds to a class's covariance.
//
//   S_c <- keep S_c + sum_k z_k z_k^T       keep = n_c / (n_c + m)      k = 0 ... m
//   z_k = sqrt(1 / (n_c + m)) (a_k - nu)    for the m samples           z_m = sqrt(keep m / (n_c + m)) (mu_c - nu)
#pragma once
#include <cstdint>

#include "kernels/common/context.h"

namespace isda::kernels {

// The present classes in order of their number; their position in this order is their slot.
struct Members {
  std::int64_t most = 0;                  // min(N,C): scratch memory is sized by it, so that no batch of the same shape needs more
  std::int64_t present = 0;               // K <= most
  const std::int32_t* classes = nullptr;  // (K) the number of the class in each slot
  const std::int32_t* begin = nullptr;    // (K+1) where its samples begin in `samples`
  const std::int32_t* samples = nullptr;  // (N) the samples by slot, and in order within it

  std::int64_t count(std::int64_t slot) const { return begin[slot + 1] - begin[slot]; }
};

// slots: (C) receives the slot of each class, -1 for an absent one; null if nobody asks. Every label lies in [0, C).
Members members_of(Scratch& scratch, const std::int32_t* labels, std::int64_t N, std::int64_t C, std::int32_t* slots);

// The vectors z of every slot: rank(slot) rows of A from row(slot) on. Those of a batch: m + 1 for each slot, one slot behind the other.
struct Terms {
  const Members& members;
  std::int64_t A;
  const float* rows;                    // (N+K,A)
  const float* keep;                    // (K)
  std::int64_t most;                    // no rank of a batch of this size is larger
  const std::int32_t* first = nullptr;  // pending ones (prepared_head.h): (C), where a class's rows begin, and rows and keep are by class, too
  const std::int32_t* count = nullptr;  // and how many there are

  std::int64_t rank(std::int64_t slot) const { return count ? count[members.classes[slot]] : members.count(slot) + 1; }
  const float* row(std::int64_t slot) const { return rows + (first ? first[members.classes[slot]] : members.begin[slot] + slot) * A; }
  // NOTE: where nothing is pending, what stands there is of no visit.
  float kept(std::int64_t slot) const { return !count ? keep[slot] : rank(slot) > 0 ? keep[members.classes[slot]] : 1.0f; }
};

// Folds the batch into count (C) and mean (C,A), and returns the terms that its covariances are yet to receive.
Terms fold_batch(const Context& context, Scratch& scratch, const Members& members, const float* features, std::int64_t A, float* count, float* mean);

}  // namespace isda::kernels
