// SPDX-License-Identifier: Apache-2.0
// Large-margin softmax: cross-entropy with the logit of a sample's own class lowered, so that its angle to the class's weights must become m times smaller.
// Liu et al., Large-Margin Softmax Loss for Convolutional Neural Networks, ICML 2016.   kernels/large_margin
//
// A share lambda/(1 + lambda) of the logit stays plain. As the paper asks, training begins close to plain softmax and comes close to the margin: lambda falls
// from 1000 to 5, by the same factor every epoch, over the first half of the training, and stays there. The schedule is this project's: the paper gives none.
#pragma once
#include "losses/loss.h"

namespace isda {

// logits (N,C): those of features (N,A) with weight (C,A), of which gradients come through both. lambda (1), in device memory; margin m: 1 to 4.
Tensor margin_logits(const Tensor& features, const Tensor& weight, const Tensor& logits, const Tensor& labels, const Tensor& lambda, int margin);

class LargeMarginLoss : public Loss {
 public:
  static constexpr double kFirstLambda = 1000, kLastLambda = 5;

  explicit LargeMarginLoss(int margin);
  // correct: hits of the plain logits.
  LossResult operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) override;
  void set_progress(double progress) override;
  void set_lambda(double lambda);
  // The share of the margin, 1/(1 + lambda).
  double ratio() const override { return 1 / (1 + lambda_.item()); }

 private:
  int margin_;
  Tensor lambda_;  // (1), on the device
};

}  // namespace isda
