// SPDX-License-Identifier: Apache-2.0
#include "losses/center.h"

#include "kernels/center_loss/center_loss.h"
#include "layers/add.h"
#include "losses/cross_entropy.h"

namespace isda {

CenterLoss::CenterLoss(std::int64_t classes, std::int64_t width, double weight, double rate)
    : weight_(weight),
      rate_(rate),
      centers_(Tensor::zeros({classes, width}, parameter_type(PlacementScope::current().type), PlacementScope::current().device)) {}

LossResult CenterLoss::operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) {
  const Tensor features = features_of(maps);
  const Tensor spread({1}, features.type(), features.device()), dfeatures = Tensor::like(features);
  run(features.context(),
      kernels::CenterLoss{
          .features = features, .labels = labels, .weight = weight_, .rate = rate_, .centers = centers_, .loss = spread, .dfeatures = dfeatures});
  const LossResult apart = cross_entropy(classifier(features), labels);
  return {add(apart.loss, with_gradients(spread, {features}, {dfeatures})), apart.correct};
}

}  // namespace isda
