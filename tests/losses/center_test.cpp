// SPDX-License-Identifier: Apache-2.0
// Center loss: the formula, the centers' own rule, gradients, and that a resumed loss goes on.
#include "losses/center.h"

#include <gtest/gtest.h>

#include "losses/cross_entropy.h"
#include "tests/core/expect_error.h"
#include "tests/layers/numeric_gradient.h"
#include "tests/losses/labels.h"

namespace isda {
namespace {

class Center : public testing::Test {
 protected:
  Center() { randomise(classifier, 1); }

  const PlacementScope scope{kExact};
  const Linear classifier{2, 3};
  const Tensor features = random_parameter({4, 2}, 5, kExact), labels = labels_of({0, 2, 0, 0});
};

TEST_F(Center, ValueAndCentersByTheFormula) {
  CenterLoss loss(3, 2, 0.8, 0.25);
  const View x = features, c = loss.centers();
  for (std::int64_t i = 0; i < 6; ++i) c.set_offset(0.1 * static_cast<double>(i), i);
  const Tensor before = loss.centers().clone();
  double squares = 0;
  for (const std::int64_t n : {0, 1, 2, 3})
    for (const std::int64_t a : {0, 1}) squares += std::pow(x.at(n, a) - before.view().at(static_cast<std::int64_t>(labels.view().at(n)), a), 2);
  const LossResult result = loss(features, classifier, labels), plain = cross_entropy(classifier(features), labels);
  EXPECT_NEAR(result.loss.item(), plain.loss.item() + 0.8 / 2 * squares / 4, 1e-13);
  EXPECT_EQ(result.correct.item(), plain.correct.item());
  // Three samples of class 0, none of 1, one of 2.
  for (const std::int64_t a : {0, 1}) {
    const double c0 = before.view().at(0, a), c2 = before.view().at(2, a);
    EXPECT_NEAR(c.at(0, a), c0 - 0.25 * (3 * c0 - x.at(0, a) - x.at(2, a) - x.at(3, a)) / (1 + 3), 1e-14);
    EXPECT_EQ(c.at(1, a), before.view().at(1, a));
    EXPECT_NEAR(c.at(2, a), c2 - 0.25 * (c2 - x.at(1, a)) / (1 + 1), 1e-14);
  }
}

// NOTE: with centers that stand still: each evaluation would move them.
TEST_F(Center, Gradients) {
  CenterLoss loss(3, 2, 0.8, 0);
  copy(random_tensor({3, 2}, 8), loss.centers());
  expect_gradients({{"features", features}, {"weight", classifier.weight}, {"bias", classifier.bias}}, [&] { return loss(features, classifier, labels).loss; });
}

TEST_F(Center, CentersComeToTheMeansOfTheirClasses) {
  CenterLoss loss(3, 2, 1);
  for (int step = 0; step < 200; ++step) loss(features, classifier, labels);
  const View x = features;
  for (const std::int64_t a : {0, 1}) {
    EXPECT_NEAR(loss.centers().view().at(0, a), (x.at(0, a) + x.at(2, a) + x.at(3, a)) / 3, 1e-9);
    EXPECT_NEAR(loss.centers().view().at(2, a), x.at(1, a), 1e-9);
  }
}

TEST_F(Center, AResumedLossGoesOn) {
  CenterLoss loss(3, 2, 0.5), resumed(3, 2, 0.5);
  const double first = loss(features, classifier, labels).loss.item();
  ASSERT_EQ(loss.state().size(), 1u);
  EXPECT_EQ(loss.state()[0].name, "centers");
  copy(loss.state()[0].tensor, resumed.state()[0].tensor);
  const double second = loss(features, classifier, labels).loss.item();
  EXPECT_LT(second, first) << "the centers are nearer";
  EXPECT_EQ(resumed(features, classifier, labels).loss.item(), second);
}

TEST_F(Center, WrongArgumentsAreErrors) {
  const auto error_of = [&](std::int64_t width, double weight, double rate, const std::string& part) {
    CenterLoss loss(3, width, weight, rate);
    expect_error([&] { loss(features, classifier, labels); }, part);
  };
  error_of(2, -1, 0.5, "[center_loss] weight is -1, expected 0 or more");
  error_of(2, 1, 1.5, "[center_loss] rate is 1.5, expected from 0 to 1");
  error_of(5, 1, 0.5, "[center_loss] centers is (3,5), expected (3,2): (C,A) of features (N,A)");
}

}  // namespace
}  // namespace isda
