// SPDX-License-Identifier: Apache-2.0
#include "losses/isda.h"

#include <cmath>

#include "core/autograd.h"
#include "kernels/common/grid.h"
#include "kernels/isda/low_rank.h"
#include "kernels/isda/prepared_head.h"

namespace isda {

namespace {

Tensor zeros(const Shape& shape) {
  const auto& [device, type] = PlacementScope::current();
  return Tensor::zeros(shape, parameter_type(type), device);
}

// Views that the host can read.
struct HostStatistics {
  View count, mean, covariance;
};

// Class c of `other` into that of `to`.
void merge_class(const Covariance& kind, std::int64_t c, const HostStatistics& to, const HostStatistics& other) {
  const std::int64_t A = to.mean.extent(1);
  const View &mu = to.mean, &s = to.covariance;
  const double total = to.count.at(c) + other.count.at(c), w = other.count.at(c) / total;
  std::vector<double> delta;
  for (std::int64_t a = 0; a < A; ++a) delta.push_back(other.mean.at(c, a) - mu.at(c, a));
  const auto product = [&](std::int64_t a, std::int64_t b) { return delta[static_cast<std::size_t>(a)] * delta[static_cast<std::size_t>(b)]; };
  const auto merged = [&](double mine, double theirs, double of_means) { return (1 - w) * mine + w * theirs + w * (1 - w) * of_means; };
  switch (kind.kind) {
    case Covariance::Kind::full:
      for (const auto [a, b] : grid(A, A)) s.set(merged(s.at(c, a, b), other.covariance.at(c, a, b), product(a, b)), c, a, b);
      break;
    case Covariance::Kind::diagonal:
      for (std::int64_t a = 0; a < A; ++a) s.set(merged(s.at(c, a), other.covariance.at(c, a), product(a, a)), c, a);
      break;
    case Covariance::Kind::low_rank: {
      std::vector<double> z;
      for (const double way : delta) z.push_back(std::sqrt(w * (1 - w)) * way);
      kernels::low_rank::merge(s, other.covariance, c, 1 - w, w, z);
      break;
    }
  }
  for (std::int64_t a = 0; a < A; ++a) mu.set(mu.at(c, a) + w * delta[static_cast<std::size_t>(a)], c, a);
  to.count.set(total, c);
}

}  // namespace

ClassStatistics::ClassStatistics(std::int64_t classes, std::int64_t width, const Covariance& kind, std::int64_t most_samples)
    : count(zeros({classes})), mean(zeros({classes, width})), covariance(zeros(kind.shape(classes, width))), kind_(kind) {
  if (most_samples == 0) return;
  require(kind == Covariance::full, "[isda] only full covariances are passed over ahead, and these are {}", kind.text());
  const auto integers = [&] { return Tensor::zeros({classes}, DType::i32, count.device()); };
  // NOTE: of labels drawn evenly a batch hardly ever has so many of one class; where it has, one more pass over that covariance follows.
  const std::int64_t of_class = 8 + 2 * most_samples / classes;
  const std::int64_t rows = kernels::PendingTerms::rows_for(classes, of_class, most_samples);
  pending_ = {.count = integers(), .first = integers(), .keep = zeros({classes}), .rows = zeros({rows, width}), .of_class = of_class};
}

kernels::PendingTerms ClassStatistics::Pending::view() const { return {.count = count, .first = first, .keep = keep, .rows = rows, .of_class = of_class}; }

void ClassStatistics::update(const Tensor& features, const Tensor& labels) {
  settle();
  run(features.context(), kernels::IsdaUpdate{.features = features, .labels = labels, .count = count, .mean = mean, .covariance = covariance});
}

void ClassStatistics::settle() const {
  if (pending_) run(count.context(), kernels::IsdaSettle{.covariance = covariance, .pending = pending_->view()});
}

void ClassStatistics::merge(const ClassStatistics& other) {
  require(other.covariance.shape() == covariance.shape(), "[isda] statistics of shape {} cannot be merged into {}", other.covariance.shape(),
          covariance.shape());
  settle();
  other.settle();
  // NOTE: on the host, for whatever device: it is done once in a while, not in a step.
  const Tensor n = count.on_host(), mu = mean.on_host(), s = covariance.on_host();
  const Tensor other_n = other.count.on_host(), other_mu = other.mean.on_host(), other_s = other.covariance.on_host();
  for (std::int64_t c = 0; c < n.size(); ++c) {
    if (other_n.view().at(c) != 0) merge_class(kind_, c, {n, mu, s}, {other_n, other_mu, other_s});
  }
  if (count.device() != Device::cuda) return;
  copy(n, count);
  copy(mu, mean);
  copy(s, covariance);
}

std::vector<NamedTensor> ClassStatistics::state() const {
  settle();
  return {{"count", count}, {"mean", mean}, {"covariance", covariance}};
}

IsdaLoss::IsdaLoss(std::int64_t classes, std::int64_t width, double lambda_0, const Covariance& kind, std::int64_t most_samples)
    : lambda_0_(lambda_0), statistics_(classes, width, kind, most_samples), ratio_(zeros({1})) {}

void IsdaLoss::set_progress(double progress) { set_ratio(lambda_0_ * progress); }

void IsdaLoss::set_ratio(double ratio) { copy(Tensor::full({1}, ratio, ratio_.type()), ratio_); }

const ClassStatistics& IsdaLoss::statistics() const {
  // NOTE: a batch that was prepared and then given up, by an error on the way, may still be on its branch.
  if (prepared_ && statistics_.count.device() == Device::cuda) join_branch();
  statistics_.settle();
  return statistics_;
}

kernels::Prepared IsdaLoss::Prepared::view() const { return {.slots = slots, .members = members, .u = u, .q = q}; }

struct IsdaLoss::Arrays {
  Tensor maps, labels, weight, bias;            // given
  Tensor loss, correct, dmaps, dweight, dbias;  // made
};

void IsdaLoss::prepare(const Linear& classifier, const Tensor& labels) {
  if (!statistics_.is_prepared_ahead()) return;
  const Device device = labels.device();
  if (prepared_ && device == Device::cuda) join_branch();
  const Tensor& weight = classifier.weight;
  const auto [C, A] = weight.shape().extents<2>();
  const std::int64_t N = labels.size(), most = std::min(N, C);
  prepared_ = {.slots = Tensor({C}, DType::i32, device),
               .members = Tensor({2 * most + 2 + N}, DType::i32, device),
               .u = Tensor({most, C, A}, weight.type(), device),
               .q = Tensor({most, C}, weight.type(), device)};
  run(device == Device::cuda ? fork_branch() : labels.context(),
      kernels::IsdaPrepare{
          .labels = labels, .weight = weight, .covariance = statistics_.covariance, .pending = statistics_.pending_->view(), .prepared = prepared_->view()});
}

void IsdaLoss::run_prepared(const Arrays& of) {
  if (of.labels.device() == Device::cuda) join_branch();
  const Prepared prepared = *std::exchange(prepared_, std::nullopt);
  run(of.maps.context(), kernels::IsdaPreparedHead{.x = of.maps,
                                                   .labels = of.labels,
                                                   .weight = of.weight,
                                                   .bias = of.bias,
                                                   .ratio = ratio_,
                                                   .count = statistics_.count,
                                                   .mean = statistics_.mean,
                                                   .pending = statistics_.pending_->view(),
                                                   .prepared = prepared.view(),
                                                   .loss = of.loss,
                                                   .correct = of.correct,
                                                   .dx = of.dmaps,
                                                   .dweight = of.dweight,
                                                   .dbias = of.dbias});
}

void IsdaLoss::run_whole(const Arrays& of) const {
  run(of.maps.context(), kernels::IsdaHead{.x = of.maps,
                                           .labels = of.labels,
                                           .weight = of.weight,
                                           .bias = of.bias,
                                           .ratio = ratio_,
                                           .count = statistics_.count,
                                           .mean = statistics_.mean,
                                           .covariance = statistics_.covariance,
                                           .loss = of.loss,
                                           .correct = of.correct,
                                           .dx = of.dmaps,
                                           .dweight = of.dweight,
                                           .dbias = of.dbias});
}

LossResult IsdaLoss::operator()(const Tensor& maps, const Linear& classifier, const Tensor& labels) {
  const Tensor &weight = classifier.weight, &bias = classifier.bias;
  const Arrays of{.maps = maps,
                  .labels = labels,
                  .weight = weight,
                  .bias = bias,
                  .loss = Tensor({1}, weight.type(), maps.device()),
                  .correct = Tensor({1}, DType::i32, maps.device()),
                  .dmaps = Tensor::like(maps),
                  .dweight = Tensor::like(weight),
                  .dbias = Tensor::like(bias)};
  if (statistics_.is_prepared_ahead()) {
    if (!prepared_) prepare(classifier, labels);
    run_prepared(of);
  } else {
    run_whole(of);
  }

  return {with_gradients(of.loss, {maps, weight, bias}, {of.dmaps, of.dweight, of.dbias}), of.correct};
}

double IsdaLoss::correction(const Tensor& features, const Linear& classifier, const Tensor& labels) const {
  const Tensor& weight = classifier.weight;
  const std::int64_t N = labels.size(), C = weight.extent(0);
  const auto made = [&](const Shape& shape) { return Tensor(shape, weight.type(), features.device()); };
  const Tensor logits = made({N, C}), augmented = made({N, C}), slots({C}, DType::i32, features.device());
  const std::int64_t width = kernels::width_of_u(statistics_.covariance.view());
  const Tensor u = width > 0 ? made({std::min(N, C), C, width}) : Tensor();
  run(features.context(), kernels::IsdaForward{.features = features,
                                               .labels = labels,
                                               .weight = weight,
                                               .bias = classifier.bias,
                                               .covariance = statistics().covariance,
                                               .ratio = ratio_,
                                               .logits = logits,
                                               .augmented_logits = augmented,
                                               .slots = slots,
                                               .u = u});

  const Tensor plain = logits.on_host(), corrected = augmented.on_host();
  double moved = 0, magnitude = 0;
  for (std::int64_t i = 0; i < N * C; ++i) {
    moved += corrected.view().at_offset(i) - plain.view().at_offset(i);
    magnitude += std::abs(plain.view().at_offset(i));
  }
  // NOTE: the sample's own logit is not corrected.
  const double others = static_cast<double>(C - 1) / static_cast<double>(C);
  return C > 1 && magnitude > 0 ? moved / others / magnitude : 0;
}

}  // namespace isda
