// SPDX-License-Identifier: Apache-2.0
// Large-margin softmax: the formula from angles, its gradients, plain softmax at its ends, and the falling lambda.
#include "losses/large_margin.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>

#include "losses/cross_entropy.h"
#include "tests/core/expect_error.h"
#include "tests/layers/numeric_gradient.h"
#include "tests/losses/labels.h"

namespace isda {
namespace {

constexpr std::int64_t kSamples = 60, kWidth = 3, kClasses = 4;

// The paper's definition by the angle itself: psi(t) = (-1)^k cos(m t) - 2k for t in [k pi/m, (k+1) pi/m].
double psi(double t, int m) {
  const int k = std::min(static_cast<int>(t * m / std::numbers::pi), m - 1);
  return (k % 2 == 0 ? 1 : -1) * std::cos(m * t) - 2 * k;
}

class LargeMargin : public testing::TestWithParam<int> {
 protected:
  LargeMargin() {
    randomise(classifier, 1);
    std::vector<std::int32_t> of_samples;
    for (std::int64_t n = 0; n < kSamples; ++n) of_samples.push_back(static_cast<std::int32_t>(n * 7 % kClasses));
    labels = Tensor::copy_of(ConstView(of_samples.data(), DType::i32, {kSamples}), Device::reference);
  }

  // The logit of sample n's own class.
  double own_logit(std::int64_t n, double lambda) const {
    const View x = features, w = classifier.weight;
    const auto y = static_cast<std::int64_t>(labels.view().at(n));
    double dot = 0, squares_w = 0, squares_x = 0;
    for (std::int64_t a = 0; a < kWidth; ++a) {
      dot += w.at(y, a) * x.at(n, a);
      squares_w += w.at(y, a) * w.at(y, a);
      squares_x += x.at(n, a) * x.at(n, a);
    }
    const double length = std::sqrt(squares_w * squares_x), t = std::acos(dot / length);
    return (lambda * dot + length * psi(t, GetParam())) / (1 + lambda) + classifier.bias.view().at(y);
  }

  const PlacementScope scope{kExact};
  const Linear classifier{kWidth, kClasses};
  const Tensor features = random_parameter({kSamples, kWidth}, 5, kExact);
  Tensor labels;
};

TEST_P(LargeMargin, LogitsAreThoseOfTheAngles) {
  for (const double lambda : {0.0, 2.5}) {
    const Tensor plain = classifier(features), factor = Tensor::full({1}, lambda, DType::f64, Device::reference);
    const Tensor lowered = margin_logits(features, classifier.weight, plain, labels, factor, GetParam());
    std::vector<bool> seen(4);
    for (std::int64_t n = 0; n < kSamples; ++n) {
      for (std::int64_t c = 0; c < kClasses; ++c) {
        const bool is_own = c == static_cast<std::int64_t>(labels.view().at(n));
        ASSERT_NEAR(lowered.view().at(n, c), is_own ? own_logit(n, lambda) : plain.view().at(n, c), 1e-12) << n;
        if (is_own) {
          EXPECT_LE(lowered.view().at(n, c), plain.view().at(n, c) + 1e-12) << "a margin never raises";
        }
      }
    }
  }
}

TEST_P(LargeMargin, Gradients) {
  LargeMarginLoss loss(GetParam());
  loss.set_lambda(0.8);
  expect_gradients(
      {{"features", features}, {"weight", classifier.weight}, {"bias", classifier.bias}}, [&] { return loss(features, classifier, labels).loss; }, 1e-6);
}

TEST_P(LargeMargin, AMarginOfOneAndALargeLambdaArePlain) {
  LargeMarginLoss loss(GetParam()), one(1);
  const double plain = cross_entropy(classifier(features), labels).loss.item();
  one.set_lambda(0);
  EXPECT_NEAR(one(features, classifier, labels).loss.item(), plain, 1e-12);
  loss.set_lambda(1e12);
  EXPECT_NEAR(loss(features, classifier, labels).loss.item(), plain, 1e-9);
  loss.set_lambda(0);
  if (GetParam() > 1) {
    EXPECT_GT(loss(features, classifier, labels).loss.item(), plain + 0.1);
  }
  EXPECT_EQ(loss(features, classifier, labels).correct.item(), cross_entropy(classifier(features), labels).correct.item())
      << "hits are those of the plain logits";
}

// Down the gradient, step by step, under a margin that stays.
TEST_P(LargeMargin, Falls) {
  LargeMarginLoss loss(GetParam());
  loss.set_lambda(0.5);
  double before = std::numeric_limits<double>::infinity();
  for (int step = 0; step < 20; ++step) {
    const Tensor value = loss(features, classifier, labels).loss;
    EXPECT_LT(value.item(), before) << "step " << step;
    before = value.item();
    backward(value);
    for (const Tensor& leaf : {features, classifier.weight, classifier.bias}) {
      const View at = leaf, gradient = gradient_of(leaf);
      for (std::int64_t i = 0; i < at.size(); ++i) at.set_offset(at.at_offset(i) - 0.05 * gradient.at_offset(i), i);
      clear_gradient(leaf);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Margins, LargeMargin, testing::Values(1, 2, 3, 4), [](const auto& margin) { return std::to_string(margin.param); });

TEST(LargeMarginLoss, LambdaFallsOverTheFirstHalf) {
  LargeMarginLoss loss(2);
  const auto lambda_at = [&](double progress) {
    loss.set_progress(progress);
    return 1 / loss.ratio() - 1;
  };
  EXPECT_NEAR(lambda_at(0), 1000, 1e-2);
  EXPECT_NEAR(lambda_at(0.25), std::sqrt(5000.0), 1e-3);
  EXPECT_NEAR(lambda_at(0.5), 5, 1e-5);
  EXPECT_NEAR(lambda_at(0.9), 5, 1e-5);
}

// Angles of 0 and pi, and vectors of nothing: numbers everywhere.
TEST(LargeMarginLoss, TheEndsAreNumbers) {
  for (const Placement& placement : {kExact, Placement{Device::cpu, DType::f32}}) {
    const PlacementScope scope(placement);
    const Linear classifier(2, 2);
    classifier.weight.view().set(3, 0, 0);
    const Tensor features = parameter(Tensor::zeros({4, 2}, placement.type, placement.device));
    features.view().set(2, 0, 0);
    features.view().set(-2, 1, 0);
    features.view().set(1, 3, 1);
    for (const int margin : {2, 3, 4}) {
      LargeMarginLoss loss(margin);
      loss.set_lambda(0);
      // Along the weights, against them, without a feature, and of the class without weights.
      const Tensor value = loss(features, classifier, labels_of({0, 0, 0, 1}, placement.device)).loss;
      backward(value);
      const double against = 6 * (2 * margin - 1);  // psi(pi) = -1 - 2 (m-1)
      EXPECT_NEAR(value.item(), (std::log1p(std::exp(-6.0)) + std::log1p(std::exp(against)) + 2 * std::log(2.0)) / 4, 1e-5);
      for (std::int64_t i = 0; i < features.size(); ++i) EXPECT_TRUE(std::isfinite(gradient_of(features).view().at_offset(i)));
      for (std::int64_t i = 0; i < 4; ++i) EXPECT_TRUE(std::isfinite(gradient_of(classifier.weight).view().at_offset(i)));
      clear_gradient(features);
      clear_gradient(classifier.weight);
      clear_gradient(classifier.bias);
    }
  }
}

TEST(LargeMarginLoss, WrongArgumentsAreErrors) {
  for (const int margin : {0, 5})
    expect_error([&] { LargeMarginLoss loss(margin); }, fmt::format("[large margin] a margin of {} was asked for, expected 1 to 4", margin));
  const Tensor x = random_tensor({2, 3}, 1), w = random_tensor({4, 3}, 2), z = random_tensor({2, 4}, 3), lambda = random_tensor({1}, 4);
  expect_error([&] { margin_logits(x, z, z, labels_of({0, 1}), lambda, 2); }, "[large_margin] weight is (2,4), expected (4,3): (C,A)");
  expect_error([&] { margin_logits(x, w, z, labels_of({0, 4}), lambda, 2); }, "the label of sample 1 is 4, expected 0 to 3");
  expect_error([&] { margin_logits(x, w, z, labels_of({0, 1}), x, 2); }, "[large_margin] lambda is (2,3), expected (1): one for the whole batch");
  expect_error([&] { margin_logits(x, w, z, labels_of({0, 1}), lambda, 7); }, "[large_margin] margin is 7, expected 1 to 4");
}

}  // namespace
}  // namespace isda
