// SPDX-License-Identifier: Apache-2.0
#include "losses/large_margin.h"

#include <algorithm>
#include <cmath>

#include "core/autograd.h"
#include "kernels/large_margin/large_margin.h"
#include "losses/cross_entropy.h"

namespace isda {

Tensor margin_logits(const Tensor& features, const Tensor& weight, const Tensor& logits, const Tensor& labels, const Tensor& lambda, int margin) {
  const Tensor lowered = Tensor::like(logits), coefficients({features.extent(0), 3}, features.type(), features.device());
  run(features.context(), kernels::LargeMargin{.features = features,
                                               .weight = weight,
                                               .logits = logits,
                                               .labels = labels,
                                               .lambda = lambda,
                                               .margin = margin,
                                               .margin_logits = lowered,
                                               .coefficients = coefficients});
  return differentiable(lowered, {features, weight, logits}, [features, weight, labels, coefficients](const Tensor& dlogits) {
    const Tensor dfeatures = Tensor::like(features), dweight = Tensor::like(weight);
    run(dlogits.context(), kernels::LargeMarginBackward{.dlogits = dlogits,
                                                        .features = features,
                                                        .weight = weight,
                                                        .labels = labels,
                                                        .coefficients = coefficients,
                                                        .dfeatures = dfeatures,
                                                        .dweight = dweight});
    return Gradients{dfeatures, dweight, dlogits};
  });
}

LargeMarginLoss::LargeMarginLoss(int margin)
    : margin_(margin), lambda_(Tensor::full({1}, kFirstLambda, parameter_type(PlacementScope::current().type), PlacementScope::current().device)) {
  require(margin >= 1 && margin <= 4, "[large margin] a margin of {} was asked for, expected 1 to 4", margin);
}

void LargeMarginLoss::set_progress(double progress) {
  const double done = std::min(2 * progress, 1.0);
  set_lambda(kFirstLambda * std::pow(kLastLambda / kFirstLambda, done));
}

void LargeMarginLoss::set_lambda(double lambda) { copy(Tensor::full({1}, lambda, lambda_.type()), lambda_); }

LossResult LargeMarginLoss::operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) {
  const Tensor features = features_of(maps);
  const Tensor plain = classifier(features);
  const Tensor loss = cross_entropy(margin_logits(features, classifier.weight, plain, labels, lambda_, margin_), labels).loss;

  const NoGradient no_gradient;
  return {loss, cross_entropy(plain.detached(), labels).correct};
}

}  // namespace isda
