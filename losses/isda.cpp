// SPDX-License-Identifier: Apache-2.0
#include "losses/isda.h"

#include <cmath>

#include "core/autograd.h"
#include "kernels/common/grid.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/isda/isda.h"
#include "kernels/isda/low_rank.h"

namespace isda {

namespace {

Tensor zeros(const Shape& shape) {
  const auto& [device, type] = PlacementScope::current();
  return Tensor::zeros(shape, parameter_type(type), device);
}

}  // namespace

ClassStatistics::ClassStatistics(std::int64_t classes, std::int64_t width, const Covariance& kind)
    : count(zeros({classes})), mean(zeros({classes, width})), covariance(zeros(kind.shape(classes, width))), kind_(kind) {}

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
    } else if (kind_.kind == Covariance::Kind::low_rank) {
      std::vector<double> z;
      for (const double way : delta) z.push_back(std::sqrt(w * (1 - w)) * way);
      kernels::low_rank::merge(s, View(other.covariance), c, 1 - w, w, z);
    } else {
      for (std::int64_t a = 0; a < A; ++a)
        s.set(merged(s.at(c, a), other_s.at(c, a), delta[static_cast<std::size_t>(a)] * delta[static_cast<std::size_t>(a)]), c, a);
    }
    for (std::int64_t a = 0; a < A; ++a) mu.set(mu.at(c, a) + w * delta[static_cast<std::size_t>(a)], c, a);
    n.set(total, c);
  }
}

std::vector<NamedTensor> ClassStatistics::state() const { return {{"count", count}, {"mean", mean}, {"covariance", covariance}}; }

IsdaLoss::IsdaLoss(std::int64_t classes, std::int64_t width, double lambda_0, const Covariance& kind)
    : lambda_0_(lambda_0), statistics_(classes, width, kind), ratio_(zeros({1})) {}

void IsdaLoss::set_progress(double progress) { set_ratio(lambda_0_ * progress); }

void IsdaLoss::set_ratio(double ratio) { copy(Tensor::full({1}, ratio, ratio_.type()), ratio_); }

LossResult IsdaLoss::operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) {
  const Tensor &weight = classifier.weight, &bias = classifier.bias;
  const Tensor loss({1}, weight.type(), maps.device()), correct({1}, DType::i32, maps.device());
  const Tensor dmaps = Tensor::like(maps), dweight = Tensor::like(weight), dbias = Tensor::like(bias);
  run(maps.context(), kernels::IsdaHead{.x = maps,
                                        .labels = labels,
                                        .weight = weight,
                                        .bias = bias,
                                        .ratio = ratio_,
                                        .count = statistics_.count,
                                        .mean = statistics_.mean,
                                        .covariance = statistics_.covariance,
                                        .loss = loss,
                                        .correct = correct,
                                        .dx = dmaps,
                                        .dweight = dweight,
                                        .dbias = dbias});

  // The gradients are there already, of the loss by itself.
  const Tensor result = differentiable(loss, {maps, weight, bias}, [dmaps, dweight, dbias](const Tensor& dloss) {
    if (is_one(dloss)) return Gradients{dmaps, dweight, dbias};
    const auto scaled = [&](const Tensor& gradient) {
      const Tensor product = Tensor::like(gradient);
      run(dloss.context(), kernels::Scale{.x = gradient, .factor = dloss, .y = product});
      return product;
    };
    return Gradients{scaled(dmaps), scaled(dweight), scaled(dbias)};
  });
  return {result, correct};
}

}  // namespace isda
