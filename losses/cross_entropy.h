// SPDX-License-Identifier: Apache-2.0
// Softmax cross-entropy: the mean over the batch of -log softmax(logits)[label].   kernels/softmax_cross_entropy
#pragma once
#include "losses/loss.h"

namespace isda {

// logits (N,C), labels (N) i32. label_smoothing e spreads e of the target over all classes (Szegedy et al. 2016).
LossResult cross_entropy(const Tensor& logits, const Tensor& labels, double label_smoothing = 0);

class CrossEntropyLoss : public Loss {
 public:
  explicit CrossEntropyLoss(double label_smoothing = 0) : label_smoothing_(label_smoothing) {}
  LossResult operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) override;
  LossResult mixed(const Tensor& maps, const Linear& classifier, const Tensor& labels, const SecondLabels& second) override;

 private:
  double label_smoothing_;
};

}  // namespace isda
