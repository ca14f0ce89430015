// SPDX-License-Identifier: Apache-2.0
// What the head of more than 128 features does between its products: from maps to features, means and terms; from logits to their gradients.
#pragma once
#include "kernels/isda/correction.cuh"
#include "kernels/isda/head_by_class.cuh"

namespace isda::kernels {

// The features, averaged over the pixels of x, and the batch folded into the means, as fold_on_card does, which leaves terms; where the covariance is
// diagonal, into it, too. The counts stay as they are. One launch.
struct MapsOfBatch {
  Membership members;
  ConstView x, labels;
  View count, mean;
  float* features;             // (N,A), overwritten; NaN where a sample's label is none of the classes
  View variance = {};          // (C,A), diagonal
  CovarianceTerms terms = {};  // full: overwritten
};
void fold_maps(const Context& context, const MapsOfBatch& op);

// The softmax of the corrected logits. One launch.
struct ClassSoftmax {
  Membership members;
  const std::int32_t* labels;  // (N)
  const std::int32_t* slots;   // (C)
  int N, C;
  float* count;           // (C), or null: the samples are added
  const float* ratio;     // (1)
  CorrectionTable table;  // its first part is overwritten by (ratio/2) Q
  float* logits;          // (N,C): the plain ones; their gradients are left in their place; NaN where a label is none of the classes
  ClassRecord* records;   // (C): losses and hits
  float* gc;              // (most,C) Gc
  float* g;               // (most,C) ratio Gc
};
void take_softmax(const Context& context, const ClassSoftmax& op);

// dx[n,h,w] = dfeatures[n] / (H W). One launch. dfeatures: (N,A) f32
void spread(const Context& context, const float* dfeatures, const View& dx);

}  // namespace isda::kernels
