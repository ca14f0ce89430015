// SPDX-License-Identifier: Apache-2.0
#include "losses/cross_entropy.h"

#include "core/autograd.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"
#include "layers/global_average.h"

namespace isda {

LossResult cross_entropy(const Tensor& logits, const Tensor& labels, double label_smoothing) {
  const Tensor loss({1}, parameter_type(logits.type()), logits.device());
  const Tensor dlogits = Tensor::like(logits);
  const Tensor correct({1}, DType::i32, logits.device());
  run(logits.context(), kernels::SoftmaxCrossEntropy{
                            .logits = logits, .labels = labels, .label_smoothing = label_smoothing, .loss = loss, .dlogits = dlogits, .correct = correct});

  const Tensor result = differentiable(loss, {logits}, [dlogits](const Tensor& dloss) {
    if (is_one(dloss)) return Gradients{dlogits};
    const Tensor dx = Tensor::like(dlogits);
    run(dloss.context(), kernels::Scale{.x = dlogits, .factor = dloss, .y = dx});
    return Gradients{dx};
  });
  return {result, correct};
}

LossResult CrossEntropyLoss::operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) {
  const Tensor features = maps.shape().rank() == 4 ? global_average(maps) : maps;
  return cross_entropy(classifier(features), labels, label_smoothing_);
}

}  // namespace isda
