// SPDX-License-Identifier: Apache-2.0
// What a head of more than 128 features does once its features are there and the table of corrections is: from logits to gradients.
//
//   logits                F W^T + b (kernels/linear)
//   softmax               losses, hits, G in the place of the logits, Gc (head_statistics.cuh)
//   dfeatures, dweight    G W, G^T F
//   spread                dx from dF, where x is maps or bf16
//   weight correction     one pass over U, and its sums (weight_correction.cuh, low_rank.cuh)
//   sums                  over the classes: db, loss, hits (head_by_class.cuh)
//
//   8 launches, 7 for features in f32; low rank: 4 more
#pragma once
#include "kernels/isda/head_statistics.cuh"
#include "kernels/isda/weight_correction.cuh"

namespace isda::kernels {

// What every form of the head is given of a batch, and what it makes (IsdaHead in isda.h).
struct HeadBatch {
  ConstView labels, weight, bias, ratio;
  View loss, correct, dx, dweight, dbias;
};
template <class Head>
HeadBatch batch_of(const Head& op) {
  return {.labels = op.labels,
          .weight = op.weight,
          .bias = op.bias,
          .ratio = op.ratio,
          .loss = op.loss,
          .correct = op.correct,
          .dx = op.dx,
          .dweight = op.dweight,
          .dbias = op.dbias};
}

struct HeadRest {
  HeadBatch batch;
  Membership members;
  const std::int32_t* slots;  // (C)
  float* features;            // (N,A)
  CorrectionTable table;
  View count;                          // (C): the samples are added; not given where they have been
  const float* u;                      // (most,C,A) full, (most,C,R) low rank
  ConstView covariance = {};           // as it is after the batch; not given where it is full
  CovarianceTerms terms = {};          // full, and U is of before the batch: what it is still to receive
  const float* projections = nullptr;  // and the terms' projections (weight_correction.cuh)
};
void finish_head(const Context& context, Scratch& scratch, const HeadRest& op);

}  // namespace isda::kernels
