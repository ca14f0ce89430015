// SPDX-License-Identifier: Apache-2.0
// Cross-entropy: the formula with and without label smoothing, its gradient, the hits, and what is refused.
#include "losses/cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/core/expect_error.h"
#include "tests/layers/numeric_gradient.h"
#include "tests/losses/labels.h"

namespace isda {
namespace {

// -sum over c of target[c] log softmax(z)[c], the target (1-s) at the label plus s/C everywhere; the mean over the batch.
double formula(const View& z, const View& labels, double smoothing) {
  const auto [N, C] = z.extents<2>();
  double loss = 0;
  for (std::int64_t n = 0; n < N; ++n) {
    double sum = 0;
    for (std::int64_t c = 0; c < C; ++c) sum += std::exp(z.at(n, c));
    for (std::int64_t c = 0; c < C; ++c) {
      const double target = (labels.at(n) == static_cast<double>(c) ? 1 - smoothing : 0) + smoothing / static_cast<double>(C);
      loss -= target * (z.at(n, c) - std::log(sum)) / static_cast<double>(N);
    }
  }
  return loss;
}

TEST(CrossEntropy, ValueByTheFormula) {
  const Tensor logits = random_tensor({7, 5}, 1, kExact, 3), labels = labels_of({0, 4, 2, 2, 1, 3, 0});
  for (const double smoothing : {0.0, 0.1, 0.5}) EXPECT_NEAR(cross_entropy(logits, labels, smoothing).loss.item(), formula(logits, labels, smoothing), 1e-13);
}

TEST(CrossEntropy, Gradient) {
  const Tensor logits = random_parameter({7, 5}, 2, kExact, 3), labels = labels_of({0, 4, 2, 2, 1, 3, 0});
  for (const double smoothing : {0.0, 0.1}) expect_gradients({{"logits", logits}}, [&] { return cross_entropy(logits, labels, smoothing).loss; });
}

TEST(CrossEntropy, CountsTheHits) {
  const Tensor logits = Tensor::zeros({4, 3}, DType::f64, Device::reference);
  logits.view().set(2, 0, 1);
  logits.view().set(2, 1, 1);
  logits.view().set(1, 2, 0);
  EXPECT_EQ(cross_entropy(logits, labels_of({1, 0, 0, 0})).correct.item(), 3) << "of equal logits the first counts";
  EXPECT_EQ(cross_entropy(logits, labels_of({1, 1, 1, 2})).correct.item(), 2);
}

TEST(CrossEntropy, LargeLogitsDoNotOverflow) {
  const Tensor logits = Tensor::zeros({1, 3});
  logits.view().set(10000, 0, 0);
  logits.view().set(-10000, 0, 1);
  EXPECT_EQ(cross_entropy(logits, labels_of({0}, Device::cpu)).loss.item(), 0);
  EXPECT_EQ(cross_entropy(logits, labels_of({1}, Device::cpu)).loss.item(), 20000);
}

TEST(CrossEntropy, AsALossOfFeaturesAndClassifier) {
  const PlacementScope scope(kExact);
  const Linear classifier(4, 3);
  randomise(classifier, 3);
  const Tensor features = random_parameter({5, 4}, 6), labels = labels_of({2, 1, 0, 0, 2});
  CrossEntropyLoss loss, smoothed(0.2);
  EXPECT_NEAR(loss(features, classifier, labels).loss.item(), formula(classifier(features), labels, 0), 1e-13);
  EXPECT_NEAR(smoothed(features, classifier, labels).loss.item(), formula(classifier(features), labels, 0.2), 1e-13);
  expect_gradients({{"features", features}, {"weight", classifier.weight}, {"bias", classifier.bias}},
                   [&] { return smoothed(features, classifier, labels).loss; });
  // What every loss answers.
  loss.set_progress(0.5);
  EXPECT_EQ(loss.ratio(), 0);
  EXPECT_TRUE(loss.state().empty());
}

TEST(CrossEntropy, OfMixedImagesIsTheWeightedSumOfBothLabels) {
  const PlacementScope scope(kExact);
  const Linear classifier(4, 3);
  randomise(classifier, 3);
  const Tensor features = random_parameter({5, 4}, 6), labels = labels_of({2, 1, 0, 0, 2}), second = labels_of({1, 0, 0, 2, 2});
  const auto number = [](double value) { return Tensor::full({1}, value, DType::f64, Device::reference); };
  const SecondLabels mixture{.labels = second, .weight_of_first = number(0.3), .weight_of_second = number(0.7)};
  CrossEntropyLoss loss(0.1);
  const LossResult result = loss.mixed(features, classifier, labels, mixture);
  const Tensor logits = classifier(features);
  EXPECT_NEAR(result.loss.item(), 0.3 * formula(logits, labels, 0.1) + 0.7 * formula(logits, second, 0.1), 1e-13);
  EXPECT_EQ(result.correct.item(), loss(features, classifier, labels).correct.item());
  expect_gradients({{"features", features}, {"weight", classifier.weight}, {"bias", classifier.bias}},
                   [&] { return loss.mixed(features, classifier, labels, mixture).loss; });
}

// NOTE: expect_gradients passes a gradient of its own on to the loss; training begins with 1, which is a way of its own.
TEST(CrossEntropy, OfMixedImagesHasTheWeightedSumOfBothGradients) {
  const PlacementScope scope(kExact);
  const Linear classifier(4, 3);
  randomise(classifier, 3);
  const Tensor features = random_tensor({5, 4}, 6), labels = labels_of({2, 1, 0, 0, 2}), second = labels_of({1, 0, 0, 2, 2});
  const auto number = [](double value) { return Tensor::full({1}, value, DType::f64, Device::reference); };
  CrossEntropyLoss loss;
  const auto gradient = [&](const Tensor& of) {
    clear_gradient(classifier.weight);
    backward(of);
    return gradient_of(classifier.weight).clone();
  };
  const Tensor first = gradient(loss(features, classifier, labels).loss), other = gradient(loss(features, classifier, second).loss);
  const Tensor mixed =
      gradient(loss.mixed(features, classifier, labels, {.labels = second, .weight_of_first = number(0.3), .weight_of_second = number(0.7)}).loss);
  for (std::int64_t i = 0; i < mixed.size(); ++i) {
    EXPECT_NEAR(mixed.view().at_offset(i), 0.3 * first.view().at_offset(i) + 0.7 * other.view().at_offset(i), 1e-14);
  }
}

TEST(CrossEntropy, WrongArgumentsAreErrors) {
  const Tensor logits = random_tensor({2, 3}, 7);
  expect_error([&] { cross_entropy(logits, labels_of({0, 3})); }, "the label of sample 1 is 3, expected 0 to 2");
  expect_error([&] { cross_entropy(logits, labels_of({0, -1})); }, "the label of sample 1 is -1");
  expect_error([&] { cross_entropy(logits, labels_of({0})); }, "labels is (1), expected (2)");
  expect_error([&] { cross_entropy(logits, labels_of({0, 1}), 1.0); }, "label_smoothing");
}

}  // namespace
}  // namespace isda
