// SPDX-License-Identifier: Apache-2.0
// Focal loss: the cross-entropy of a sample counts the less, the surer the network is of it already.   Lin et al., Focal Loss for Dense Object Detection, 2017
//   loss = mean over n of (1 - p)^gamma ce      p = exp(-ce[n]) the probability of the label, ce its cross-entropy      gamma 0: cross-entropy
//
// Its gradient is that of the cross-entropy, each sample's row times g = (1 - p)^gamma (1 + gamma p ce / (1 - p)). So this operation follows
// softmax_cross_entropy: it takes the losses that leaves, and scales the gradient.
//
//   losses (N) the parameter type   dlogits (N,C) f32|bf16|f64   sums in f32 (reference: f64)
//   FLOP  1 a logit, 20 a sample    bytes  dlogits read and written once
#pragma once
#include <cmath>

#include "kernels/common/operation.h"

namespace isda::kernels {

struct FocalLoss {
  static constexpr auto name = "focal_loss";
  ConstView losses;  // (N), the cross-entropy of each sample
  double gamma = 2;  // 0 or more
  View loss;         // (1), overwritten: the mean over the batch
  View dlogits;      // (N,C), changed in place: from the gradient of the mean cross-entropy to that of `loss`
};
ISDA_OPERATION(FocalLoss);

// Of a sample with this cross-entropy: (1 - p)^gamma, and g, by which its gradient is scaled. NOTE: 1 - p as -expm1(-ce): near 1 a p of f32 would leave nothing
// of it. ce / (1 - p) is 1 where ce is 0, and p ce is 0 where p is.
template <class T>
struct Focus {
  T weight, gradient;
};
template <class T>
constexpr Focus<T> focus_of(T cross_entropy, T gamma) {
  const T p = std::exp(-cross_entropy), rest = -std::expm1(-cross_entropy);
  const T weight = gamma == 0 ? T{1} : std::pow(rest < 0 ? T{0} : rest, gamma);
  const T ratio = p == 0 ? T{0} : rest == 0 ? T{1} : p * cross_entropy / rest;
  return {weight, weight * (1 + gamma * ratio)};
}

}  // namespace isda::kernels
