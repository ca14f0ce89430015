// SPDX-License-Identifier: Apache-2.0
// What the correction of the logits adds to dW: with g[c,j] = ratio Gc[c,j], dW[j] += sum_c g[c,j] U_c[j] and dW[c] -= sum_j g[c,j] U_c[j].
#pragma once
#include "kernels/isda/statistics.cuh"

namespace isda::kernels {

struct WeightCorrection {
  Membership members;
  int C, A;
  const float* ratio;         // (1): where it is 0 nothing is corrected, whatever U holds
  const float* weight;        // (C,A), diagonal
  const float* variance;      // (C,A), diagonal: U_c[j] = (w_j - w_c) s_c is made again
  const float* u;             // (most,C,A), full
  const std::int32_t* slots;  // (C) where the classes' U and g are; -1 for an absent class
  const float* g;             // (most,C)
  float* dweight;             // (C,A), added to
  // Full, where u is of before the batch (prepared_head.h): U'_c[j] = keep U_c[j] + sum_k t_k[j] z_k
  CovarianceTerms terms = {};
  const float* projections = nullptr;  // (N+most,C): t, its rows by slots as those of a batch's own terms; null: u is U_c

  // The slot of class j, -1 when it is absent.
  // NOTE: looked up in both directions, so that the slots of another batch lead nowhere.
  __device__ int slot_of(int j) const {
    const int slot = slots[j];
    return slot >= 0 && slot < *members.present && members.classes[slot] == j ? slot : -1;
  }
};

// Two launches.
void correct_weight_gradient(const Context& context, Scratch& scratch, const WeightCorrection& op);

}  // namespace isda::kernels
