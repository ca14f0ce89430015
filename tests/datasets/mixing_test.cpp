// SPDX-License-Identifier: Apache-2.0
// The draws of mixup and CutMix: Beta by its moments and its distribution, boxes by the paper's algorithm, shifts that are no identity.
#include "datasets/mixing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace isda {
namespace {

std::vector<double> sorted_betas(double alpha, int count) {
  std::vector<double> draws;
  for (int step = 0; step < count; ++step) draws.push_back(MixingNumbers(11, step).beta(alpha));
  std::sort(draws.begin(), draws.end());
  return draws;
}

// The largest distance of the draws' distribution from `cumulative`, by the square root of their number: above 1.95 once in a thousand, 2.6 in a million.
template <class Cumulative>
double kolmogorov_smirnov(const std::vector<double>& sorted, Cumulative&& cumulative) {
  const auto count = static_cast<double>(sorted.size());
  double distance = 0;
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const double expected = cumulative(sorted[i]), below = static_cast<double>(i) / count;
    distance = std::max({distance, expected - below, below + 1 / count - expected});
  }
  return distance * std::sqrt(count);
}

TEST(Gamma, HasItsDistribution) {
  const auto sorted = [](double alpha) {
    std::vector<double> draws;
    for (int step = 0; step < 40000; ++step) draws.push_back(std::exp(MixingNumbers(11, step).log_gamma(alpha)));
    std::sort(draws.begin(), draws.end());
    return draws;
  };
  EXPECT_LT(kolmogorov_smirnov(sorted(1), [](double x) { return 1 - std::exp(-x); }), 2.6);
  EXPECT_LT(kolmogorov_smirnov(sorted(2), [](double x) { return 1 - (1 + x) * std::exp(-x); }), 2.6);
  EXPECT_LT(kolmogorov_smirnov(sorted(0.5), [](double x) { return std::erf(std::sqrt(x)); }), 2.6);
}

TEST(Beta, HasItsMeanAndVariance) {
  constexpr int kDraws = 40000;
  for (const double alpha : {0.1, 0.2, 0.5, 1.0, 2.0, 8.0}) {
    double sum = 0, squares = 0, fourth = 0;
    for (const double x : sorted_betas(alpha, kDraws)) {
      ASSERT_TRUE(x >= 0 && x <= 1);
      sum += x;
      squares += (x - 0.5) * (x - 0.5);
      fourth += std::pow(x - 0.5, 4);
    }
    const double variance = 1 / (4 * (2 * alpha + 1)), spread = std::sqrt(fourth / kDraws - variance * variance);
    EXPECT_NEAR(sum / kDraws, 0.5, 5 * std::sqrt(variance / kDraws)) << alpha;
    EXPECT_NEAR(squares / kDraws, variance, 5 * spread / std::sqrt(kDraws)) << alpha;
  }
}

TEST(Beta, HasItsDistribution) {
  constexpr int kDraws = 40000;
  EXPECT_LT(kolmogorov_smirnov(sorted_betas(1, kDraws), [](double x) { return x; }), 2.6);
  EXPECT_LT(kolmogorov_smirnov(sorted_betas(2, kDraws), [](double x) { return x * x * (3 - 2 * x); }), 2.6);
  EXPECT_LT(kolmogorov_smirnov(sorted_betas(0.5, kDraws), [](double x) { return 2 / M_PI * std::asin(std::sqrt(x)); }), 2.6);
  // And is no other one's.
  EXPECT_GT(kolmogorov_smirnov(sorted_betas(1.1, kDraws), [](double x) { return x; }), 2.6);
}

TEST(Beta, OfATinyAlphaIsZeroOrOne) {
  int ones = 0;
  for (const double x : sorted_betas(1e-4, 1000)) {
    ASSERT_FALSE(std::isnan(x));
    ASSERT_TRUE(x < 1e-6 || x > 1 - 1e-6 || (x > 0 && x < 1));
    ones += x > 0.5;
  }
  EXPECT_NEAR(ones, 500, 5 * 16);
}

TEST(DrawMix, IsAFunctionOfSeedAndStep) {
  const MixOptions options{.mixup = 0.4};
  EXPECT_EQ(draw_mix(options, 3, 7, 8, 32, 32).pixel_weight, draw_mix(options, 3, 7, 8, 32, 32).pixel_weight);
  std::set<double> weights;
  for (int step = 0; step < 50; ++step) weights.insert(draw_mix(options, 3, step, 8, 32, 32).pixel_weight);
  for (int seed = 4; seed < 54; ++seed) weights.insert(draw_mix(options, static_cast<std::uint64_t>(seed), 7, 8, 32, 32).pixel_weight);
  EXPECT_EQ(weights.size(), 100u);
}

TEST(DrawMix, OfMixupHasNoBoxAndOneWeight) {
  std::set<int> shifts;
  for (int step = 0; step < 200; ++step) {
    const MixDraw draw = draw_mix({.mixup = 1}, 1, step, 5, 32, 32);
    EXPECT_EQ(draw.pixel_weight, draw.label_weight);
    EXPECT_TRUE(draw.place[1] == 0 && draw.place[2] == 0 && draw.place[3] == 0 && draw.place[4] == 0);
    shifts.insert(draw.place[0]);
  }
  EXPECT_EQ(shifts, (std::set<int>{1, 2, 3, 4}));
  EXPECT_EQ(draw_mix({.mixup = 1}, 1, 0, 1, 32, 32).place[0], 0);
}

TEST(DrawMix, OfCutMixWeighsByWhatTheBoxLeaves) {
  double share = 0;
  constexpr int kSteps = 4000;
  int whole = 0;
  for (int step = 0; step < kSteps; ++step) {
    const MixDraw draw = draw_mix({.cutmix = 1}, 1, step, 8, 20, 30);
    const auto [shift, top, left, bottom, right] = draw.place;
    ASSERT_TRUE(0 <= top && top <= bottom && bottom <= 20 && 0 <= left && left <= right && right <= 30) << step;
    ASSERT_EQ(draw.pixel_weight, 1);
    ASSERT_DOUBLE_EQ(draw.label_weight, 1 - (bottom - top) * (right - left) / 600.0);
    share += 1 - draw.label_weight;
    whole += top > 0 && bottom < 20 && left > 0 && right < 30;
  }
  // Counted over all areas and middles of 20x30 pixels: 0.2916, deviation of the mean 0.004.
  EXPECT_NEAR(share / kSteps, 0.2916, 0.02);
  EXPECT_GT(whole, kSteps / 20);
}

TEST(DrawMix, OfBothIsEither) {
  int mixups = 0;
  for (int step = 0; step < 1000; ++step) mixups += draw_mix({.mixup = 1, .cutmix = 1}, 1, step, 8, 20, 30).pixel_weight < 1;
  EXPECT_NEAR(mixups, 500, 5 * 16);
}

}  // namespace
}  // namespace isda
