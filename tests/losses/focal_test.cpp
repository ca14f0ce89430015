// SPDX-License-Identifier: Apache-2.0
// Focal loss: the formula, its gradient, cross-entropy where gamma is 0, what is sure and what is hopeless, and what is refused.
#include "losses/focal.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "losses/cross_entropy.h"
#include "tests/core/expect_error.h"
#include "tests/layers/numeric_gradient.h"
#include "tests/losses/labels.h"

namespace isda {
namespace {

// -(1-p)^gamma log p, p the probability of the label; the mean over the batch.
double formula(const View& z, const View& labels, double gamma) {
  const auto [N, C] = z.extents<2>();
  double loss = 0;
  for (std::int64_t n = 0; n < N; ++n) {
    double sum = 0;
    for (std::int64_t c = 0; c < C; ++c) sum += std::exp(z.at(n, c));
    const double p = std::exp(z.at(n, static_cast<std::int64_t>(labels.at(n)))) / sum;
    loss -= std::pow(1 - p, gamma) * std::log(p) / static_cast<double>(N);
  }
  return loss;
}

TEST(Focal, ValueByTheFormula) {
  const Tensor logits = random_tensor({7, 5}, 1, kExact, 3), labels = labels_of({0, 4, 2, 2, 1, 3, 0});
  for (const double gamma : {0.0, 0.5, 1.0, 2.0, 5.0}) EXPECT_NEAR(focal(logits, labels, gamma).loss.item(), formula(logits, labels, gamma), 1e-13);
}

TEST(Focal, Gradient) {
  const Tensor logits = random_parameter({7, 5}, 2, kExact, 3), labels = labels_of({0, 4, 2, 2, 1, 3, 0});
  for (const double gamma : {0.0, 0.5, 2.0}) expect_gradients({{"logits", logits}}, [&] { return focal(logits, labels, gamma).loss; });
}

TEST(Focal, GammaZeroIsCrossEntropyAndHitsAreTheLogits) {
  const Tensor logits = random_tensor({9, 4}, 3, {Device::cpu, DType::f32}), labels = labels_of({0, 1, 2, 3, 0, 1, 2, 3, 1}, Device::cpu);
  const LossResult plain = cross_entropy(logits, labels), same = focal(logits, labels, 0), focused = focal(logits, labels, 3);
  EXPECT_EQ(same.loss.item(), plain.loss.item());
  EXPECT_LT(focused.loss.item(), plain.loss.item());
  EXPECT_EQ(focused.correct.item(), plain.correct.item());
}

// A network that is sure has a loss and a gradient of 0, one that could not be more wrong those of cross-entropy: no 0/0, no 0 times infinity.
TEST(Focal, TheEndsAreNumbers) {
  for (const Placement& placement : {kExact, Placement{Device::cpu, DType::f32}}) {
    const Tensor logits = parameter(Tensor::zeros({1, 2}, placement.type, placement.device));
    const Tensor right = labels_of({0}, placement.device), wrong = labels_of({1}, placement.device);
    for (const double gamma : {0.5, 2.0}) {
      logits.view().set(5000, 0, 0);
      Tensor loss = focal(logits, right, gamma).loss;
      EXPECT_EQ(loss.item(), 0);
      backward(loss);
      for (const std::int64_t c : {0, 1}) EXPECT_EQ(gradient_of(logits).view().at(0, c), 0);
      clear_gradient(logits);
      loss = focal(logits, wrong, gamma).loss;
      EXPECT_EQ(loss.item(), 5000);
      backward(loss);
      EXPECT_EQ(gradient_of(logits).view().at(0, 0), 1);
      EXPECT_EQ(gradient_of(logits).view().at(0, 1), -1);
      clear_gradient(logits);
    }
    // Nearly sure: 1 - p is e^-20, which f32 would not see beside 1.
    logits.view().set(20, 0, 0);
    EXPECT_NEAR(focal(logits, right, 1).loss.item() / std::exp(-40.0), 1, 1e-5);
  }
}

TEST(Focal, AsALossOfFeaturesAndClassifier) {
  const PlacementScope scope(kExact);
  const Linear classifier(4, 3);
  randomise(classifier, 3);
  const Tensor features = random_parameter({5, 4}, 6), labels = labels_of({2, 1, 0, 0, 2});
  FocalLoss loss(2);
  EXPECT_NEAR(loss(features, classifier, labels).loss.item(), formula(classifier(features), labels, 2), 1e-13);
  expect_gradients({{"features", features}, {"weight", classifier.weight}, {"bias", classifier.bias}}, [&] { return loss(features, classifier, labels).loss; });
}

TEST(Focal, WrongArgumentsAreErrors) {
  const Tensor logits = random_tensor({2, 3}, 7);
  expect_error([&] { focal(logits, labels_of({0, 1}), -1); }, "[focal_loss] gamma is -1, expected 0 or more");
  expect_error([&] { focal(logits, labels_of({0, 1}), std::numeric_limits<double>::infinity()); }, "[focal_loss] gamma is inf");
  expect_error([&] { focal(logits, labels_of({0, 3}), 2); }, "the label of sample 1 is 3, expected 0 to 2");
}

}  // namespace
}  // namespace isda
