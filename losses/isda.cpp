// SPDX-License-Identifier: Apache-2.0
#include "losses/isda.h"

#include <algorithm>

#include "core/autograd.h"
#include "kernels/common/grid.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/isda/isda.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace isda {

namespace {

Tensor zeros(const Shape& shape) {
  const auto& [device, type] = PlacementScope::current();
  return Tensor::zeros(shape, parameter_type(type), device);
}

Shape covariance_shape(std::int64_t classes, std::int64_t width, Covariance kind) {
  return kind == Covariance::full ? Shape{classes, width, width} : Shape{classes, width};
}

}  // namespace

ClassStatistics::ClassStatistics(std::int64_t classes, std::int64_t width, Covariance kind)
    : count(zeros({classes})), mean(zeros({classes, width})), covariance(zeros(covariance_shape(classes, width, kind))), kind_(kind) {}

void ClassStatistics::update(const Tensor& features, const Tensor& labels) {
  run(features.context(), kernels::IsdaUpdate{.features = features, .labels = labels, .count = count, .mean = mean, .covariance = covariance});
}

void ClassStatistics::merge(const ClassStatistics& other) {
  require(other.covariance.shape() == covariance.shape(), "[isda] statistics of shape {} cannot be merged into {}", other.covariance.shape(),
          covariance.shape());
  const auto [C, A] = mean.shape().extents<2>();
  const View n = count, mu = mean, s = covariance;
  const ConstView other_n = other.count, other_mu = other.mean, other_s = other.covariance;
  std::vector<double> delta(static_cast<std::size_t>(A));
  for (std::int64_t c = 0; c < C; ++c) {
    if (other_n.at(c) == 0) continue;
    const double total = n.at(c) + other_n.at(c);
    const double w = other_n.at(c) / total;
    for (std::int64_t a = 0; a < A; ++a) delta[static_cast<std::size_t>(a)] = other_mu.at(c, a) - mu.at(c, a);
    const auto merged = [&](double mine, double theirs, double product) { return (1 - w) * mine + w * theirs + w * (1 - w) * product; };
    if (kind_ == Covariance::full) {
      for (const auto [a, b] : grid(A, A)) {
        s.set(merged(s.at(c, a, b), other_s.at(c, a, b), delta[static_cast<std::size_t>(a)] * delta[static_cast<std::size_t>(b)]), c, a, b);
      }
    } else {
      for (std::int64_t a = 0; a < A; ++a)
        s.set(merged(s.at(c, a), other_s.at(c, a), delta[static_cast<std::size_t>(a)] * delta[static_cast<std::size_t>(a)]), c, a);
    }
    for (std::int64_t a = 0; a < A; ++a) mu.set(mu.at(c, a) + w * delta[static_cast<std::size_t>(a)], c, a);
    n.set(total, c);
  }
}

std::vector<NamedTensor> ClassStatistics::state() const { return {{"count", count}, {"mean", mean}, {"covariance", covariance}}; }

IsdaLoss::IsdaLoss(std::int64_t classes, std::int64_t width, double lambda_0, Covariance kind)
    : lambda_0_(lambda_0), statistics_(classes, width, kind), ratio_(zeros({1})) {}

void IsdaLoss::set_progress(double progress) { set_ratio(lambda_0_ * progress); }

void IsdaLoss::set_ratio(double ratio) { copy(Tensor::full({1}, ratio, ratio_.type()), ratio_); }

LossResult IsdaLoss::operator()(const Tensor& features, const Linear& classifier, const Tensor& labels) {
  const Tensor &weight = classifier.weight, &bias = classifier.bias, &covariance = statistics_.covariance;
  const auto [C, A] = weight.shape().extents<2>();
  const std::int64_t N = features.extent(0);
  const auto made = [&](const Shape& shape, DType type) { return Tensor(shape, type, features.device()); };

  // Update the statistics, then correct the logits with them.
  const Tensor logits = made({N, C}, weight.type()), augmented_logits = made({N, C}, weight.type());
  const Tensor slots = made({C}, DType::i32);
  const Tensor u = statistics_.kind() == Covariance::full ? made({std::min(N, C), C, A}, weight.type()) : Tensor();
  run(features.context(), kernels::IsdaUpdateForward{.features = features,
                                                     .labels = labels,
                                                     .weight = weight,
                                                     .bias = bias,
                                                     .ratio = ratio_,
                                                     .count = statistics_.count,
                                                     .mean = statistics_.mean,
                                                     .covariance = covariance,
                                                     .logits = logits,
                                                     .augmented_logits = augmented_logits,
                                                     .slots = slots,
                                                     .u = u});

  // Cross-entropy of the augmented logits; hits are counted on the plain ones.
  const Tensor loss = made({1}, weight.type()), plain_loss = made({1}, weight.type());
  const Tensor daugmented = Tensor::like(logits);
  const Tensor correct = made({1}, DType::i32);
  run(features.context(), kernels::SoftmaxCrossEntropy{.logits = logits, .labels = labels, .loss = plain_loss, .correct = correct});
  run(features.context(), kernels::SoftmaxCrossEntropy{.logits = augmented_logits, .labels = labels, .loss = loss, .dlogits = daugmented});

  const Tensor result =
      differentiable(loss, {features, weight, bias}, [features, labels, weight, bias, covariance, slots, u, daugmented, ratio = ratio_](const Tensor& dloss) {
        const Tensor scaled = Tensor::like(daugmented);
        run(dloss.context(), kernels::Scale{.x = daugmented, .factor = dloss, .y = scaled});
        const Tensor dfeatures = Tensor::like(features), dweight = Tensor::like(weight), dbias = Tensor::like(bias);
        run(dloss.context(), kernels::IsdaBackward{.daugmented = scaled,
                                                   .features = features,
                                                   .labels = labels,
                                                   .weight = weight,
                                                   .covariance = covariance,
                                                   .slots = slots,
                                                   .u = u,
                                                   .ratio = ratio,
                                                   .dfeatures = dfeatures,
                                                   .dweight = dweight,
                                                   .dbias = dbias});
        return Gradients{dfeatures, dweight, dbias};
      });
  return {result, correct};
}

}  // namespace isda
