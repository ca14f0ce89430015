// SPDX-License-Identifier: Apache-2.0
// The ISDA loss: against its formula in plain loops, its gradients against differences of that formula, ratio 0 against cross-entropy bit
// for bit, and against what it stands for: the expected cross-entropy over features drawn around each sample.
#include "losses/isda.h"

#include <gtest/gtest.h>

#include <cmath>

#include "losses/cross_entropy.h"
#include "tests/core/expect_error.h"
#include "tests/layers/numeric_gradient.h"
#include "tests/losses/labels.h"

namespace isda {
namespace {

constexpr std::int64_t kClasses = 5, kWidth = 4;
const std::vector<std::int32_t> kLabels = {1, 0, 1, 3, 1, 3, 0, 1};  // classes 2 and 4 are absent

// The covariance of class y between the features a and b.
double covariance_at(const ConstView& covariance, std::int64_t y, std::int64_t a, std::int64_t b) {
  if (kernels::is_full(covariance)) return covariance.at(y, a, b);
  if (kernels::is_diagonal(covariance)) return a == b ? covariance.at(y, a) : 0;
  double sum = a == b ? covariance.at(y, 0, a) : 0;
  for (std::int64_t r = 1; r < covariance.extent(1); ++r) sum += covariance.at(y, r, a) * covariance.at(y, r, b);
  return sum;
}

// (w_j - w_y)^T S_y (w_j - w_y)
double quadratic(const ConstView& weight, const ConstView& covariance, std::int64_t y, std::int64_t j) {
  double sum = 0;
  for (std::int64_t a = 0; a < weight.extent(1); ++a) {
    for (std::int64_t b = 0; b < weight.extent(1); ++b) {
      sum += (weight.at(j, a) - weight.at(y, a)) * covariance_at(covariance, y, a, b) * (weight.at(j, b) - weight.at(y, b));
    }
  }
  return sum;
}

// The loss as it is written, S a constant; the mean over the batch.
double formula(const ConstView& features, const ConstView& weight, const ConstView& bias, const ConstView& labels, const ConstView& covariance, double ratio) {
  const std::int64_t N = features.extent(0), C = weight.extent(0), A = weight.extent(1);
  double loss = 0;
  for (std::int64_t n = 0; n < N; ++n) {
    const auto y = static_cast<std::int64_t>(labels.at(n));
    double sum = 0, of_label = 0;
    for (std::int64_t j = 0; j < C; ++j) {
      double z = bias.at(j) + ratio / 2 * quadratic(weight, covariance, y, j);
      for (std::int64_t a = 0; a < A; ++a) z += weight.at(j, a) * features.at(n, a);
      sum += std::exp(z);
      if (j == y) of_label = z;
    }
    loss += (std::log(sum) - of_label) / static_cast<double>(N);
  }
  return loss;
}

// A classifier, features and labels.
struct Head {
  explicit Head(const Placement& placement = kExact)
      : scope(placement), classifier(kWidth, kClasses), features(random_parameter({8, kWidth}, 5, placement)), labels(labels_of(kLabels, placement.device)) {
    randomise(classifier, 1);
  }
  LossResult operator()(Loss& loss) const { return loss(features, classifier, labels); }
  void clear_gradients() const {
    for (const Tensor& tensor : {features, classifier.weight, classifier.bias}) clear_gradient(tensor);
  }

  const PlacementScope scope;
  const Linear classifier;
  const Tensor features, labels;
};

class Isda : public testing::TestWithParam<Covariance> {
 protected:
  // A loss whose statistics have seen a batch before.
  static IsdaLoss experienced(const Placement& placement = kExact) {
    const PlacementScope scope(placement);
    IsdaLoss loss(kClasses, kWidth, 0.5, GetParam());
    const Linear classifier(kWidth, kClasses);
    loss(random_tensor({16, kWidth}, 6, placement, 2), classifier, labels_of({0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3}, placement.device));
    return loss;
  }
};

TEST_P(Isda, ValueByTheFormula) {
  const Head head;
  IsdaLoss loss = experienced();
  loss.set_ratio(0.7);
  const double got = head(loss).loss.item();
  const double expected = formula(head.features, head.classifier.weight, head.classifier.bias, head.labels, loss.statistics().covariance, 0.7);
  EXPECT_NEAR(got, expected, 1e-13);
  EXPECT_GT(expected, formula(head.features, head.classifier.weight, head.classifier.bias, head.labels, loss.statistics().covariance, 0) + 0.01)
      << "the augmentation must be seen";
}

TEST_P(Isda, GradientsWithTheStatisticsConstant) {
  const Head head;
  IsdaLoss loss = experienced();
  loss.set_ratio(0.7);
  const Tensor value = head(loss).loss;
  backward(value);
  const std::vector<NamedTensor> leaves = {{"features", head.features}, {"weight", head.classifier.weight}, {"bias", head.classifier.bias}};
  for (const auto& [name, leaf] : leaves) {
    const Tensor numeric = Tensor::like(leaf);
    for (std::int64_t i = 0; i < leaf.size(); ++i) {
      const auto value_at = [&, view = leaf.view(), at = leaf.view().at_offset(i)](double step) {
        view.set_offset(at + step, i);
        const double result = formula(head.features, head.classifier.weight, head.classifier.bias, head.labels, loss.statistics().covariance, 0.7);
        view.set_offset(at, i);
        return result;
      };
      numeric.view().set_offset((value_at(1e-5) - value_at(-1e-5)) / 2e-5, i);
    }
    expect_close(gradient_of(leaf), numeric, 1e-8, "gradient of " + name);
  }
}

// The gradient of what stands behind the loss: backward() of 3 * loss.
TEST_P(Isda, GradientsScaleWithWhatComesBack) {
  const Head head;
  const auto gradient = [&](double factor) {
    head.clear_gradients();
    IsdaLoss loss = experienced();
    loss.set_ratio(0.7);
    const Tensor value = head(loss).loss;
    backward(
        differentiable(value.clone(), {value}, [factor](const Tensor& dy) { return Gradients{Tensor::full(dy.shape(), factor, dy.type(), dy.device())}; }));
    return gradient_of(head.classifier.weight);
  };
  const Tensor one = gradient(1), three = gradient(3);
  for (std::int64_t i = 0; i < one.size(); ++i) EXPECT_NEAR(three.view().at_offset(i), 3 * one.view().at_offset(i), 1e-14);
}

// The loss, the hits and all gradients of both losses, on features and a classifier of this size.
struct Outcome {
  std::vector<double> isda, plain;
};

Outcome outcome_of_both(const Placement& placement, std::int64_t samples, std::int64_t width, std::int64_t classes, Covariance kind, double ratio) {
  const PlacementScope scope(placement);
  const Linear classifier(width, classes);
  randomise(classifier, 1, 0.2);
  const Tensor features = random_parameter({samples, width}, 5, placement);
  std::vector<std::int32_t> classes_of;
  for (std::int64_t i = 0; i < samples; ++i) classes_of.push_back(static_cast<std::int32_t>(i * i % classes));
  const Tensor labels = labels_of(classes_of, placement.device);

  const auto outcome = [&](Loss& loss) {
    const std::vector<Tensor> leaves = {features, classifier.weight, classifier.bias};
    for (const Tensor& leaf : leaves) clear_gradient(leaf);
    const auto [value, correct] = loss(features, classifier, labels);
    backward(value);
    std::vector<double> numbers = {value.item(), correct.item()};
    for (const Tensor& leaf : leaves) {
      const Tensor gradient = gradient_of(leaf);
      for (std::int64_t i = 0; i < gradient.size(); ++i) numbers.push_back(gradient.view().at_offset(i));
    }
    return numbers;
  };
  IsdaLoss isda(classes, width, 1, kind);
  isda.set_ratio(ratio);
  CrossEntropyLoss plain;
  return {.isda = outcome(isda), .plain = outcome(plain)};
}

TEST_P(Isda, RatioZeroIsCrossEntropyBitForBit) {
  struct Sizes {
    std::int64_t samples, width, classes;
  };
  for (const auto& [samples, width, classes] : {Sizes{1, 1, 2}, Sizes{8, 4, 5}, Sizes{37, 64, 10}, Sizes{16, 50, 100}}) {
    if (GetParam().directions > width - 2) continue;  // there is no such covariance
    SCOPED_TRACE(fmt::format("{} samples, width {}, {} classes", samples, width, classes));
    const Outcome none = outcome_of_both({Device::cpu, DType::f32}, samples, width, classes, GetParam(), 0);
    EXPECT_EQ(none.isda, none.plain);
    if (samples == 1) continue;  // one sample has no covariance
    const Outcome some = outcome_of_both({Device::cpu, DType::f32}, samples, width, classes, GetParam(), 0.5);
    EXPECT_EQ(some.plain, none.plain);
    EXPECT_NE(some.isda, some.plain);
  }
}

// NOTE: the compiler may fuse a multiplication and an addition in one of the two operations and not in the other.
TEST_P(Isda, RatioZeroIsCrossEntropyOnTheReferenceToItsRounding) {
  const auto [isda, plain] = outcome_of_both(kExact, 37, 16, 10, GetParam(), 0);
  ASSERT_EQ(isda.size(), plain.size());
  for (std::size_t i = 0; i < isda.size(); ++i) EXPECT_NEAR(isda[i], plain[i], 1e-15 * std::max(1.0, std::abs(plain[i]))) << i;
}

TEST_P(Isda, TheStatisticsAreUpdatedBeforeTheLoss) {
  const Head head;
  IsdaLoss loss(kClasses, kWidth, 1, GetParam());
  loss.set_ratio(1);
  ClassStatistics statistics(kClasses, kWidth, GetParam());
  statistics.update(head.features, head.labels);
  const double got = head(loss).loss.item();
  EXPECT_NEAR(got, formula(head.features, head.classifier.weight, head.classifier.bias, head.labels, statistics.covariance, 1), 1e-13);
  expect_close(loss.statistics().covariance, statistics.covariance, 1e-13, "covariance");
  expect_close(loss.statistics().mean, statistics.mean, 1e-13, "mean");
  for (std::int64_t c = 0; c < kClasses; ++c) EXPECT_EQ(loss.statistics().count.view().at(c), statistics.count.view().at(c));
}

TEST_P(Isda, RatioIsLambdaTimesProgress) {
  IsdaLoss loss(kClasses, kWidth, 0.5, GetParam());
  EXPECT_EQ(loss.ratio(), 0) << "before the first epoch";
  loss.set_progress(0.25);
  EXPECT_EQ(loss.ratio(), 0.125);
  loss.set_progress(1);
  EXPECT_EQ(loss.ratio(), 0.5);
  loss.set_ratio(0.75);
  EXPECT_EQ(loss.ratio(), 0.75);
  EXPECT_EQ(loss.state().size(), 3u);
}

TEST_P(Isda, CountsTheHitsOfThePlainLogits) {
  if (GetParam().directions > 0) return;  // two features have no covariance of low rank
  // The plain logits are right everywhere; a large ratio raises the others above them.
  const PlacementScope scope(kExact);
  const Linear classifier(2, 2);
  for (std::int64_t i = 0; i < 4; ++i) classifier.weight.view().set_offset(i == 0 || i == 3 ? 1 : 0, i);  // the identity; the bias is 0
  const Tensor features({4, 2}, DType::f64, Device::reference);
  const double values[] = {3, 0, 5, 1, 0, 3, 1, 5};
  for (std::int64_t i = 0; i < 8; ++i) features.view().set_offset(values[i], i);
  IsdaLoss loss(2, 2, 1, GetParam());
  loss.set_ratio(100);
  const auto [value, correct] = loss(features, classifier, labels_of({0, 0, 1, 1}));
  EXPECT_EQ(correct.item(), 4);
  EXPECT_GT(value.item(), std::log(2)) << "the augmented logits are wrong everywhere";
}

// ---- what the loss stands for ----

// L of a covariance S = L L^T, 0 where a pivot is.
std::vector<double> cholesky(const ConstView& covariance, std::int64_t y) {
  std::vector<double> factor(kWidth * kWidth);
  const auto l = [&](std::int64_t a, std::int64_t b) -> double& { return factor[static_cast<std::size_t>(a * kWidth + b)]; };
  for (std::int64_t a = 0; a < kWidth; ++a) {
    for (std::int64_t b = 0; b <= a; ++b) {
      double rest = covariance_at(covariance, y, a, b);
      for (std::int64_t k = 0; k < b; ++k) rest -= l(a, k) * l(b, k);
      if (a == b)
        l(a, a) = std::sqrt(std::max(0.0, rest));
      else
        l(a, b) = l(b, b) > 0 ? rest / l(b, b) : 0;
    }
  }
  return factor;
}

struct Estimate {
  double mean = 0, error = 0;  // and its standard error
};

Estimate estimate(const std::vector<double>& draws) {
  const auto count = static_cast<double>(draws.size());
  Estimate result;
  for (const double draw : draws) result.mean += draw / count;
  double squares = 0;
  for (const double draw : draws) squares += (draw - result.mean) * (draw - result.mean);
  result.error = std::sqrt(squares / (count - 1) / count);
  return result;
}

// Features are drawn around each sample, Normal(a_i, ratio S_{y_i}). The expected cross-entropy lies below the loss; and the logarithm of
// the expected exp(cross-entropy), which Jensen's inequality puts in its place, IS the loss.
TEST_P(Isda, IsTheUpperBoundOfTheExpectedCrossEntropy) {
  constexpr double kRatio = 0.5;
  constexpr std::int64_t kDraws = 4000;
  const Head head;
  IsdaLoss loss = experienced();
  loss.set_ratio(kRatio);
  const double bound = head(loss).loss.item();
  const View weight = head.classifier.weight, bias = head.classifier.bias, covariance = loss.statistics().covariance;
  const auto N = static_cast<std::int64_t>(kLabels.size());
  const Tensor normals = random_tensor({N, kDraws, kWidth}, 77);

  double expected = 0, squared_error = 0, log_expected = 0, log_squared_error = 0;
  for (std::int64_t n = 0; n < N; ++n) {
    const std::int64_t y = kLabels[static_cast<std::size_t>(n)];
    const auto factor = cholesky(covariance, y);
    std::vector<double> losses, exponentials;
    for (std::int64_t draw = 0; draw < kDraws; ++draw) {
      double feature[kWidth];
      for (std::int64_t a = 0; a < kWidth; ++a) {
        feature[a] = head.features.view().at(n, a);
        for (std::int64_t b = 0; b <= a; ++b)
          feature[a] += std::sqrt(kRatio) * factor[static_cast<std::size_t>(a * kWidth + b)] * normals.view().at(n, draw, b);
      }
      double sum = 0;  // of exp(z_j - z_y)
      for (std::int64_t j = 0; j < kClasses; ++j) {
        double margin = bias.at(j) - bias.at(y);
        for (std::int64_t a = 0; a < kWidth; ++a) margin += (weight.at(j, a) - weight.at(y, a)) * feature[a];
        sum += std::exp(margin);
      }
      losses.push_back(std::log(sum));
      exponentials.push_back(sum);
    }
    const Estimate of_loss = estimate(losses), of_exponential = estimate(exponentials);
    expected += of_loss.mean / static_cast<double>(N);
    squared_error += std::pow(of_loss.error / static_cast<double>(N), 2);
    log_expected += std::log(of_exponential.mean) / static_cast<double>(N);
    log_squared_error += std::pow(of_exponential.error / of_exponential.mean / static_cast<double>(N), 2);
  }
  EXPECT_GT(bound, expected + 4 * std::sqrt(squared_error)) << "the bound must lie above the expectation, and be told apart from it";
  EXPECT_NEAR(bound, log_expected, 4 * std::sqrt(log_squared_error));
  EXPECT_LT(std::sqrt(log_squared_error), 0.03) << "the estimate must be worth something";
  EXPECT_GT(bound, formula(head.features, weight, bias, head.labels, covariance, 0) + 0.1) << "the augmentation must be seen";
}

TEST_P(Isda, WrongArgumentsAreErrors) {
  const Head head;
  IsdaLoss loss(kClasses, kWidth + 1, 1, GetParam());
  expect_error([&] { head(loss); }, "[isda_head] mean is (5,5), expected (5,4)");
  IsdaLoss right(kClasses, kWidth, 1, GetParam());
  expect_error([&] { right(head.features, head.classifier, labels_of({0, 1, 2, 3, 4, 5, 0, 0})); }, "the label of sample 5 is 5, expected 0 to 4");
}

INSTANTIATE_TEST_SUITE_P(All, Isda, testing::Values(Covariance::full, Covariance::diagonal, Covariance::low_rank(2)),
                         [](const auto& kind) { return kind.param.directions > 0 ? std::string("lowrank") : kind.param.text(); });

}  // namespace
}  // namespace isda
