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

namespace {

Tensor features_of(const Tensor& maps) { return maps.shape().rank() == 4 ? global_average(maps) : maps; }

Tensor scaled(const Tensor& x, const Tensor& factor) {
  const Tensor y = Tensor::like(x);
  run(x.context(), kernels::Scale{.x = x, .factor = factor, .y = y});
  return y;
}

// u a + v b, of numbers.
Tensor weighted_sum(const Tensor& a, const Tensor& u, const Tensor& b, const Tensor& v) {
  const Tensor sum = scaled(a, u);
  run(sum.context(), kernels::Add{.a = sum, .b = scaled(b, v), .y = sum});
  return differentiable(sum, {a, b}, [u, v](const Tensor& dsum) {
    if (is_one(dsum)) return Gradients{u, v};
    return Gradients{scaled(u, dsum), scaled(v, dsum)};
  });
}

}  // namespace

LossResult CrossEntropyLoss::operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) {
  return cross_entropy(classifier(features_of(maps)), labels, label_smoothing_);
}

// NOTE: twice over the logits, and the gradients scaled and added: a few launches more, of a batch of numbers; the network is passed through once.
LossResult CrossEntropyLoss::mixed(const Tensor& maps, const Linear& classifier, const Tensor& labels, const SecondLabels& second) {
  const Tensor logits = classifier(features_of(maps));
  const LossResult first = cross_entropy(logits, labels, label_smoothing_), other = cross_entropy(logits, second.labels, label_smoothing_);
  return {weighted_sum(first.loss, second.weight_of_first, other.loss, second.weight_of_second), first.correct};
}

}  // namespace isda
