// SPDX-License-Identifier: Apache-2.0
#include "losses/focal.h"

#include "core/autograd.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/focal_loss/focal_loss.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "layers/global_average.h"

namespace isda {

LossResult focal(const Tensor& logits, const Tensor& labels, double gamma) {
  const DType type = parameter_type(logits.type());
  const Tensor mean({1}, type, logits.device()), losses(labels.shape(), type, logits.device()), loss({1}, type, logits.device());
  const Tensor dlogits = Tensor::like(logits), correct({1}, DType::i32, logits.device());
  run(logits.context(),
      kernels::SoftmaxCrossEntropy{.logits = logits, .labels = labels, .loss = mean, .losses = losses, .dlogits = dlogits, .correct = correct});
  run(logits.context(), kernels::FocalLoss{.losses = losses, .gamma = gamma, .loss = loss, .dlogits = dlogits});

  const Tensor result = differentiable(loss, {logits}, [dlogits](const Tensor& dloss) {
    if (is_one(dloss)) return Gradients{dlogits};
    const Tensor dx = Tensor::like(dlogits);
    run(dloss.context(), kernels::Scale{.x = dlogits, .factor = dloss, .y = dx});
    return Gradients{dx};
  });
  return {result, correct};
}

LossResult FocalLoss::operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) {
  const Tensor features = maps.shape().rank() == 4 ? global_average(maps) : maps;
  return focal(classifier(features), labels, gamma_);
}

}  // namespace isda
