// SPDX-License-Identifier: Apache-2.0
// The loss of explicit draws: with more of them it approaches the expected loss, and that stays below ISDA's closed form.
//
// With two classes the expected loss is known: the logit of the other class less that of the label is Normal(m, s^2), m of the plain logits and
// s^2 = ratio (w_j - w_y)^T S_y (w_j - w_y), so that it is the integral of log(1 + e^t) over that distribution, one dimension whatever the width.
#include "losses/isda_sampled.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "core/autograd.h"
#include "losses/cross_entropy.h"
#include "tests/core/expect_error.h"
#include "tests/layers/numeric_gradient.h"
#include "tests/losses/labels.h"

namespace isda {
namespace {

constexpr std::int64_t kSamples = 12, kWidth = 6;
constexpr double kRatio = 0.9;

// Mean and variance of a sample's loss over the draws.
struct Moments {
  double mean = 0, variance = 0;
};

Moments moments_of(double m, double s) {
  // Trapezoids to eight deviations: exact to rounding for functions as smooth as these.
  constexpr int kHalf = 800;
  constexpr double kStep = 8.0 / kHalf;
  double first = 0, second = 0;
  for (int i = -kHalf; i <= kHalf; ++i) {
    const double e = i * kStep, t = m + s * e, loss = t > 0 ? t + std::log1p(std::exp(-t)) : std::log1p(std::exp(t));
    const double weight = kStep * std::exp(-e * e / 2) / std::sqrt(2 * std::numbers::pi);
    first += weight * loss;
    second += weight * loss * loss;
  }
  return {first, second - first * first};
}

struct Expected {
  double loss = 0, closed_form = 0;
  double variance = 0;  // of the loss with one draw a sample
};

class IsdaSampled : public testing::TestWithParam<Covariance> {
 protected:
  IsdaSampled() { randomise(classifier, 1); }

  double sampled(std::int64_t draws, double ratio = kRatio, std::uint64_t seed = 3) const {
    IsdaSampledLoss loss(2, kWidth, 1, draws, GetParam(), seed);
    loss.set_ratio(ratio);
    return loss(features, classifier, labels).loss.item();
  }

  Expected expected() const {
    ClassStatistics statistics(2, kWidth, GetParam());
    statistics.update(features, labels);
    const View x = features, w = classifier.weight, b = classifier.bias, S = statistics.covariance;
    Expected result;
    for (std::int64_t i = 0; i < kSamples; ++i) {
      const auto y = static_cast<std::int64_t>(labels.view().at(i)), j = 1 - y;
      double m = b.at(j) - b.at(y), q = 0;
      for (std::int64_t a = 0; a < kWidth; ++a) {
        m += (w.at(j, a) - w.at(y, a)) * x.at(i, a);
        for (std::int64_t c = 0; c < kWidth; ++c) {
          double s = 0;
          if (GetParam() == Covariance::full) s = S.at(y, a, c);
          if (GetParam() == Covariance::diagonal && a == c) s = S.at(y, a);
          if (GetParam() == Covariance::low_rank(2)) s = (a == c ? S.at(y, 0, a) : 0) + S.at(y, 1, a) * S.at(y, 1, c) + S.at(y, 2, a) * S.at(y, 2, c);
          q += (w.at(j, a) - w.at(y, a)) * s * (w.at(j, c) - w.at(y, c));
        }
      }
      const Moments moments = moments_of(m, std::sqrt(kRatio * q));
      result.loss += moments.mean / kSamples;
      result.variance += moments.variance / (kSamples * kSamples);
      result.closed_form += std::log1p(std::exp(m + kRatio / 2 * q)) / kSamples;
    }
    return result;
  }

  const PlacementScope scope{kExact};
  const Linear classifier{kWidth, 2};
  const Tensor features = random_parameter({kSamples, kWidth}, 5, kExact);
  const Tensor labels = labels_of({0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0}, Device::reference);
};

TEST_P(IsdaSampled, ApproachesTheExpectedLossAndStaysBelowTheClosedForm) {
  const Expected of = expected();
  IsdaLoss closed(2, kWidth, 1, GetParam());
  closed.set_ratio(kRatio);
  EXPECT_NEAR(closed(features, classifier, labels).loss.item(), of.closed_form, 1e-12);
  // Within four deviations, which become fewer: half as much with four times the draws.
  for (const std::int64_t draws : {1, 16, 256, 4096}) {
    const double deviation = std::sqrt(of.variance / static_cast<double>(draws));
    EXPECT_NEAR(sampled(draws), of.loss, 4 * deviation) << draws;
  }
  // The bound is no chance: it is many deviations of the last one away.
  const double deviation = std::sqrt(of.variance / 4096);
  EXPECT_LT(of.loss, of.closed_form);
  EXPECT_GT((of.closed_form - of.loss) / deviation, 10);
  EXPECT_LT(sampled(4096), of.closed_form - 5 * deviation);
  // And the scatter of the loss is what the draws' variance says: of 64 seeds, within 4 deviations of a variance of so many.
  double squares = 0;
  for (std::uint64_t seed = 0; seed < 64; ++seed) squares += std::pow(sampled(4, kRatio, 100 + seed) - of.loss, 2) / (of.variance / 4);
  EXPECT_NEAR(squares / 64, 1, 4 * std::sqrt(2.0 / 64));
}

TEST_P(IsdaSampled, RatioZeroIsCrossEntropy) { EXPECT_NEAR(sampled(3, 0), cross_entropy(classifier(features), labels).loss.item(), 1e-14); }

TEST_P(IsdaSampled, GradientsOfTheSameDraws) {
  const auto value = [&] {
    IsdaSampledLoss loss(2, kWidth, 1, 5, GetParam(), 3);
    // NOTE: so much was seen before that the batch moves no statistic, of which none has a gradient.
    copy(Tensor::full({2}, 1e18, DType::f64, Device::reference), loss.statistics().count);
    const View S = loss.statistics().covariance;
    for (std::int64_t i = 0; i < S.size(); ++i) S.set_offset(GetParam() != Covariance::full || i % (kWidth * kWidth) % (kWidth + 1) == 0 ? 1.5 : 0.2, i);
    loss.set_ratio(kRatio);
    return loss(features, classifier, labels).loss;
  };
  backward(value());
  const std::vector<NamedTensor> leaves = {{"features", features}, {"weight", classifier.weight}, {"bias", classifier.bias}};
  for (const auto& [name, leaf] : leaves) {
    const Tensor numeric = Tensor::like(leaf);
    for (std::int64_t i = 0; i < leaf.size(); ++i) {
      const auto value_at = [&, view = leaf.view(), at = leaf.view().at_offset(i)](double step) {
        view.set_offset(at + step, i);
        const double result = value().item();
        view.set_offset(at, i);
        return result;
      };
      numeric.view().set_offset((value_at(1e-5) - value_at(-1e-5)) / 2e-5, i);
    }
    expect_close(gradient_of(leaf), numeric, 1e-8, "gradient of " + name);
  }
}

TEST_P(IsdaSampled, EveryBatchHasItsOwnDrawsAndAResumedRunTheSame) {
  IsdaSampledLoss loss(2, kWidth, 1, 4, GetParam()), resumed(2, kWidth, 1, 4, GetParam()), other(2, kWidth, 1, 4, GetParam(), 1);
  for (IsdaSampledLoss* each : {&loss, &resumed, &other}) each->set_ratio(kRatio);
  const double first = loss(features, classifier, labels).loss.item();
  EXPECT_NE(other(features, classifier, labels).loss.item(), first);
  // NOTE: the same batch again: the statistics have its covariance already, so that only the draws are others.
  const auto state = loss.state(), to = resumed.state();
  ASSERT_EQ(state.back().name, "step");
  for (std::size_t i = 0; i < state.size(); ++i) copy(state[i].tensor, to[i].tensor);
  const double second = loss(features, classifier, labels).loss.item();
  EXPECT_NE(second, first);
  EXPECT_EQ(resumed(features, classifier, labels).loss.item(), second);
  EXPECT_EQ(loss.state().back().tensor.item(), 2);
}

TEST_P(IsdaSampled, HitsAreThoseOfThePlainLogits) {
  IsdaSampledLoss loss(2, kWidth, 1, 4, GetParam());
  loss.set_ratio(100);
  EXPECT_EQ(loss(features, classifier, labels).correct.item(), cross_entropy(classifier(features), labels).correct.item());
}

TEST_P(IsdaSampled, NeedsADraw) {
  expect_error([] { IsdaSampledLoss(2, kWidth, 1, 0, GetParam()); }, "0 draws a sample were asked for, expected at least 1");
}

INSTANTIATE_TEST_SUITE_P(Kinds, IsdaSampled, testing::Values(Covariance::full, Covariance::diagonal, Covariance::low_rank(2)), [](const auto& kind) {
  return std::string(kind.param == Covariance::full ? "full" : kind.param == Covariance::diagonal ? "diagonal" : "low_rank");
});

}  // namespace
}  // namespace isda
