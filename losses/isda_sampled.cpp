// SPDX-License-Identifier: Apache-2.0
#include "losses/isda_sampled.h"

#include "core/autograd.h"
#include "kernels/isda_draw/isda_draw.h"
#include "losses/cross_entropy.h"

namespace isda {

IsdaSampledLoss::IsdaSampledLoss(std::int64_t classes, std::int64_t width, double lambda_0, std::int64_t draws, const Covariance& kind, std::uint64_t seed)
    : lambda_0_(lambda_0),
      draws_(draws),
      seed_(seed),
      statistics_(classes, width, kind),
      ratio_(Tensor::zeros({1}, statistics_.count.type(), statistics_.count.device())),
      step_(Tensor::zeros({1}, DType::i32, ratio_.device())) {
  require(draws >= 1, "[isda sampled] {} draws a sample were asked for, expected at least 1", draws);
}

void IsdaSampledLoss::set_ratio(double ratio) { copy(Tensor::full({1}, ratio, ratio_.type()), ratio_); }

std::vector<NamedTensor> IsdaSampledLoss::state() const {
  std::vector<NamedTensor> state = statistics_.state();
  state.push_back({"step", step_});
  return state;
}

LossResult IsdaSampledLoss::operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) {
  const Tensor features = features_of(maps);
  statistics_.update(features, labels);

  const std::int64_t N = features.extent(0), A = features.extent(1);
  const Tensor drawn({N * draws_, A}, features.type(), features.device()), labels_of_drawn({N * draws_}, DType::i32, features.device());
  run(features.context(), kernels::IsdaDraw{.features = features,
                                            .labels = labels,
                                            .covariance = statistics_.covariance,
                                            .ratio = ratio_,
                                            .step = step_,
                                            .draws = draws_,
                                            .seed = seed_,
                                            .drawn = drawn,
                                            .labels_of_drawn = labels_of_drawn});
  const Tensor moving = differentiable(drawn, {features}, [shape = features.shape()](const Tensor& ddrawn) {
    const Tensor dfeatures(shape, ddrawn.type(), ddrawn.device());
    run(ddrawn.context(), kernels::IsdaDrawBackward{.ddrawn = ddrawn, .dfeatures = dfeatures});
    return Gradients{dfeatures};
  });
  const Tensor loss = cross_entropy(classifier(moving), labels_of_drawn).loss;

  const NoGradient no_gradient;
  return {loss, cross_entropy(classifier(features.detached()), labels).correct};
}

}  // namespace isda
