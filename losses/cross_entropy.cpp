// SPDX-License-Identifier: Apache-2.0
#include "losses/cross_entropy.h"

#include "core/autograd.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace isda {

LossResult cross_entropy(const Tensor& logits, const Tensor& labels, double label_smoothing) {
  const Tensor loss({1}, parameter_type(logits.type()), logits.device());
  const Tensor dlogits = Tensor::like(logits);
  const Tensor correct({1}, DType::i32, logits.device());
  run(logits.context(), kernels::SoftmaxCrossEntropy{
                            .logits = logits, .labels = labels, .label_smoothing = label_smoothing, .loss = loss, .dlogits = dlogits, .correct = correct});

  return {with_gradients(loss, {logits}, {dlogits}), correct};
}

namespace {

// u a + v b, of numbers.
Tensor weighted_sum(const Tensor& a, const Tensor& u, const Tensor& b, const Tensor& v) {
  const Tensor sum = scaled(a, u);
  run(sum.context(), kernels::Add{.a = sum, .b = scaled(b, v), .y = sum});
  return with_gradients(sum, {a, b}, {u, v});
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
