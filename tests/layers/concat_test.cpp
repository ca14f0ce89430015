// SPDX-License-Identifier: Apache-2.0
// Channels side by side as a layer: values, gradients, and the statistics that go with them.
#include "layers/concat.h"

#include <gtest/gtest.h>

#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "tests/core/expect_error.h"
#include "tests/layers/numeric_gradient.h"

namespace isda {
namespace {

TEST(Concat, ValuesAndGradient) {
  const Tensor a = random_parameter({2, 3, 2, 4}, 1), b = random_parameter({2, 3, 2, 3}, 2);
  const Tensor y = concat(a, b);
  ASSERT_EQ(y.shape(), (Shape{2, 3, 2, 7}));
  EXPECT_EQ(y.view().at(1, 2, 0, 3), a.view().at(1, 2, 0, 3));
  EXPECT_EQ(y.view().at(1, 2, 1, 4), b.view().at(1, 2, 1, 0));
  expect_gradients({{"a", a}, {"b", b}}, [&] { return concat(a, b); });
  // Both halves from one array.
  expect_gradients({{"a", a}}, [&] { return concat(a, a); });
}

// The statistics of a and b are those of the result's channels, in their order; and are known only where both are.
TEST(Concat, StatisticsOfTheChannelsStayKnown) {
  const PlacementScope scope(kExact);
  const Tensor x = random_parameter({2, 4, 4, 3}, 3), weight = random_parameter({5, 1, 1, 3}, 4), other = random_parameter({2, 3, 3, 3}, 5);
  const Tensor a = conv2d(x, weight, {.kernel = 1}), b = conv2d(x, other, {.kernel = 3, .padding = 1});
  const Tensor y = concat(a, b);
  const auto [mean, variance] = y.history()->statistics;
  ASSERT_TRUE(mean && variance);
  const Tensor expected_mean({7}, DType::f64, Device::reference), expected_variance = Tensor::like(expected_mean);
  run(y.context(), kernels::BatchNormStatistics{.x = y, .mean = expected_mean, .variance = expected_variance});
  expect_close(mean, expected_mean, 1e-14, "mean");
  expect_close(variance, expected_variance, 1e-14, "variance");

  EXPECT_FALSE(concat(a, x).history()->statistics.mean);
  EXPECT_FALSE(concat(x, a).history()->statistics.mean);
}

// What a normalisation computed stays known too, but not of a leaf: that may be written to.
TEST(Concat, StatisticsThatANormalisationComputedStayKnown) {
  const PlacementScope scope(kExact);
  const BatchNorm norm(4);
  const Tensor a = random_parameter({2, 3, 3, 2}, 6), y = concat(a, a);
  EXPECT_FALSE(y.history()->statistics.mean);
  norm(y);
  EXPECT_TRUE(y.history()->statistics.mean);
  const BatchNorm of_leaf(2);
  of_leaf(a);
  EXPECT_FALSE(a.history()->statistics.mean);
}

TEST(Concat, WhatDoesNotFitIsAnError) {
  const Tensor a = Tensor::zeros({2, 3, 3, 4});
  expect_error([&] { concat(a, Tensor::zeros({2, 3, 2, 4})); }, "[concat] b is (2,3,2,4), expected the extents of y (2,3,3,8) but for the last");
  expect_error([&] { concat(a, Tensor::zeros({3, 4})); }, "[concat] b is (3,4), expected the extents of y (2,3,3,8) but for the last");
  expect_error([&] { concat(a, Tensor::zeros({2, 3, 3, 4}, DType::bf16)); }, "[concat] b is bf16, expected f32");
  expect_error([&] { concat(a, Tensor()); }, "[concat] a is (2,3,3,4) and b");
}

}  // namespace
}  // namespace isda
