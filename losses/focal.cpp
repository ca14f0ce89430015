// SPDX-License-Identifier: Apache-2.0
#include "losses/focal.h"

#include "kernels/focal_loss/focal_loss.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace isda {

LossResult focal(const Tensor& logits, const Tensor& labels, double gamma) {
  const DType type = parameter_type(logits.type());
  const Tensor mean({1}, type, logits.device()), losses(labels.shape(), type, logits.device()), loss({1}, type, logits.device());
  const Tensor dlogits = Tensor::like(logits), correct({1}, DType::i32, logits.device());
  run(logits.context(),
      kernels::SoftmaxCrossEntropy{.logits = logits, .labels = labels, .loss = mean, .losses = losses, .dlogits = dlogits, .correct = correct});
  run(logits.context(), kernels::FocalLoss{.losses = losses, .gamma = gamma, .loss = loss, .dlogits = dlogits});
  return {with_gradients(loss, {logits}, {dlogits}), correct};
}

LossResult FocalLoss::operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) {
  return focal(classifier(features_of(maps)), labels, gamma_);
}

}  // namespace isda
