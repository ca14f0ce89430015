// SPDX-License-Identifier: Apache-2.0
#include "losses/center.h"

#include "core/autograd.h"
#include "kernels/center_loss/center_loss.h"
#include "kernels/elementwise/elementwise.h"
#include "layers/add.h"
#include "layers/global_average.h"
#include "losses/cross_entropy.h"

namespace isda {

CenterLoss::CenterLoss(std::int64_t classes, std::int64_t width, double weight, double rate)
    : weight_(weight),
      rate_(rate),
      centers_(Tensor::zeros({classes, width}, parameter_type(PlacementScope::current().type), PlacementScope::current().device)) {}

LossResult CenterLoss::operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) {
  const Tensor features = maps.shape().rank() == 4 ? global_average(maps) : maps;
  const Tensor spread({1}, features.type(), features.device()), dfeatures = Tensor::like(features);
  run(features.context(),
      kernels::CenterLoss{
          .features = features, .labels = labels, .weight = weight_, .rate = rate_, .centers = centers_, .loss = spread, .dfeatures = dfeatures});
  const Tensor drawn_together = differentiable(spread, {features}, [dfeatures](const Tensor& dloss) {
    if (is_one(dloss)) return Gradients{dfeatures};
    const Tensor scaled = Tensor::like(dfeatures);
    run(dloss.context(), kernels::Scale{.x = dfeatures, .factor = dloss, .y = scaled});
    return Gradients{scaled};
  });
  const LossResult apart = cross_entropy(classifier(features), labels);
  return {add(apart.loss, drawn_together), apart.correct};
}

}  // namespace isda
