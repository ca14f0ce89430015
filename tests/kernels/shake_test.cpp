// SPDX-License-Identifier: Apache-2.0
// What shakes branches: the distributions of the factors and what they depend on, that the way back is another draw, and what is said of wrong arguments.
#include "kernels/shake/shake.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "tests/kernels/array.h"

namespace isda::kernels {
namespace {

constexpr std::uint64_t kImages = 20'000;

struct Drawn {
  std::vector<double> forward, backward;
};

Drawn draw(const ShakeRule& rule, bool has_two) {
  Drawn drawn;
  for (std::uint64_t image = 0; image < kImages; ++image) {
    drawn.forward.push_back(static_cast<double>(shake_factors(rule, has_two, ShakePass::forward, 3, image).a));
    drawn.backward.push_back(static_cast<double>(shake_factors(rule, has_two, ShakePass::backward, 3, image).a));
  }
  return drawn;
}

struct Moments {
  double mean, variance;
};

Moments moments_of(const std::vector<double>& values) {
  Moments result{};
  for (const double value : values) result.mean += value / kImages;
  for (const double value : values) result.variance += std::pow(value - result.mean, 2) / kImages;
  return result;
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const Moments of_a = moments_of(a), of_b = moments_of(b);
  double covariance = 0;
  for (std::size_t i = 0; i < a.size(); ++i) covariance += (a[i] - of_a.mean) * (b[i] - of_b.mean) / kImages;
  return covariance / std::sqrt(of_a.variance * of_b.variance);
}

// Within five standard errors.
const double kErrors = 5 / std::sqrt(static_cast<double>(kImages));

TEST(ShakeFactors, OfTwoBranchesAreUniformAndAnotherDrawOnTheWayBack) {
  const Drawn drawn = draw({.seed = 7, .layer = 2}, true);
  for (const auto& values : {drawn.forward, drawn.backward}) {
    const auto [mean, variance] = moments_of(values);
    EXPECT_NEAR(mean, 0.5, kErrors * std::sqrt(1.0 / 12));
    EXPECT_NEAR(variance, 1.0 / 12, kErrors * std::sqrt(1.0 / 180));
  }
  EXPECT_NEAR(correlation(drawn.forward, drawn.backward), 0, kErrors);
  for (std::uint64_t image = 0; image < 100; ++image) {
    for (const ShakePass pass : {ShakePass::forward, ShakePass::backward}) {
      const auto [a, b] = shake_factors({.seed = 7}, true, pass, 3, image);
      EXPECT_EQ(a + b, 1);
      EXPECT_GE(a, 0);
      EXPECT_LT(a, 1);
    }
  }
}

TEST(ShakeFactors, OfOneBranchAreItsSurvivalInTheMean) {
  for (const float survival : {0.5f, 0.8f}) {
    const Drawn drawn = draw({.survival = survival, .seed = 5}, false);
    const double s = static_cast<double>(survival);
    // E[g + alpha - g alpha] = s, and its square's mean is s + (1 - s) / 3.
    EXPECT_NEAR(moments_of(drawn.forward).mean, s, kErrors * std::sqrt(s + (1 - s) / 3 - s * s));
    // On the way back alpha in [-1,1) is beta in [0,1).
    EXPECT_NEAR(moments_of(drawn.backward).mean, s + (1 - s) / 2, kErrors * 0.5);
    std::uint64_t left = 0;
    std::vector<double> alphas, betas;
    for (std::size_t i = 0; i < kImages; ++i) {
      EXPECT_EQ(drawn.forward[i] == 1, drawn.backward[i] == 1) << "whether an image survives is one draw for both ways";
      left += drawn.forward[i] == 1;
      EXPECT_TRUE(drawn.forward[i] >= -1 && drawn.forward[i] <= 1 && drawn.backward[i] >= 0) << i;
      alphas.push_back(drawn.forward[i] == 1 ? 0 : drawn.forward[i]);
      betas.push_back(drawn.backward[i] == 1 ? 0.5 : drawn.backward[i]);
    }
    EXPECT_NEAR(static_cast<double>(left) / kImages, s, kErrors * std::sqrt(s * (1 - s)));
    EXPECT_NEAR(correlation(alphas, betas), 0, kErrors);
  }
}

TEST(ShakeFactors, AreAFunctionOfSeedLayerStepAndImage) {
  const auto factor = [](const ShakeRule& rule, std::uint32_t step, std::uint64_t image) {
    return shake_factors(rule, true, ShakePass::forward, step, image).a;
  };
  const ShakeRule rule{.seed = 1, .layer = 2};
  EXPECT_EQ(factor(rule, 3, 4), factor(rule, 3, 4));
  EXPECT_NE(factor(rule, 3, 4), factor(rule, 3, 5));
  EXPECT_NE(factor(rule, 3, 4), factor(rule, 4, 4));
  EXPECT_NE(factor(rule, 3, 4), factor({.seed = 1, .layer = 3}, 3, 4));
  EXPECT_NE(factor(rule, 3, 4), factor({.seed = 2, .layer = 2}, 3, 4));
}

TEST(ShakeFactors, AreTheExpectationsWhereNothingIsShaken) {
  for (const ShakePass pass : {ShakePass::forward, ShakePass::backward}) {
    EXPECT_EQ(shake_factors({.is_shaken = false}, true, pass, 3, 4).a, 0.5f);
    EXPECT_EQ(shake_factors({.is_shaken = false}, true, pass, 3, 4).b, 0.5f);
    EXPECT_EQ(shake_factors({.survival = 0.7f, .is_shaken = false}, false, pass, 3, 4).a, 0.7f);
    EXPECT_EQ(shake_factors({.survival = 1}, false, pass, 3, 4).a, 1) << "what survives in any case is not drawn";
  }
}

TEST(ShakeChecks, SayWhatWasGotAndExpected) {
  const Context context(Device::cpu, 1);
  const auto message = [&](const auto& operation) { return thrown_by([&] { run(context, operation); }); };
  Array<float> a({2, 4, 4, 6}), narrow({2, 4, 4, 5}), wide({2, 4, 4, 7}), small({2, 4, 3, 6}), flat({2, 6});
  const Array<std::int32_t> step({1});
  EXPECT_EQ(message(Shake{.shortcut = a, .a = flat, .y = flat}), "[shake] a is (2,6), expected 4 extents: (N,H,W,C)");
  EXPECT_EQ(message(Shake{.shortcut = a, .a = a, .b = narrow, .step = step, .y = a}), "[shake] b is (2,4,4,5), expected (2,4,4,6): the shape of a");
  EXPECT_EQ(message(Shake{.shortcut = wide, .a = a, .y = a}),
            "[shake] shortcut is (2,4,4,7), expected the images and pixels of a (2,4,4,6), and as many channels or fewer");
  EXPECT_EQ(message(Shake{.shortcut = small, .a = a, .y = a}),
            "[shake] shortcut is (2,4,3,6), expected the images and pixels of a (2,4,4,6), and as many channels or fewer");
  EXPECT_EQ(message(Shake{.shortcut = a, .a = a, .b = a, .y = a}), "[shake] step was not given, expected (1): the training step");
  EXPECT_EQ(message(Shake{.shortcut = a, .a = a, .rule = {.survival = 0.5f}, .y = a}), "[shake] step was not given, expected (1): the training step");
  EXPECT_EQ(message(Shake{.shortcut = narrow, .a = a, .y = a}), "nothing was thrown") << "a survival of 1 draws nothing";
  EXPECT_EQ(message(Shake{.shortcut = a, .a = a, .rule = {.survival = 1.5f}, .y = a}), "[shake] survival is 1.5, expected from 0 to 1");
  EXPECT_EQ(message(ShakeBackward{.dy = a, .da = narrow}), "[shake_backward] da is (2,4,4,5), expected (2,4,4,6): the shape of dy");
  EXPECT_EQ(message(ShakeBackward{.dy = a, .da = wide}), "[shake_backward] da is (2,4,4,7), expected (2,4,4,6): the shape of dy");
}

}  // namespace
}  // namespace isda::kernels
