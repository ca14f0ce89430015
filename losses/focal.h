// SPDX-License-Identifier: Apache-2.0
// Focal loss: mean of (1 - p)^gamma (-log p), p the probability of the label: what the network is sure of counts little.
// Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, here over the softmax of all classes.   kernels/focal_loss
#pragma once
#include "losses/loss.h"

namespace isda {

// logits (N,C), labels (N) i32; gamma 0 is cross-entropy.
LossResult focal(const Tensor& logits, const Tensor& labels, double gamma);

class FocalLoss : public Loss {
 public:
  explicit FocalLoss(double gamma) : gamma_(gamma) {}
  LossResult operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) override;

 private:
  double gamma_;
};

}  // namespace isda
