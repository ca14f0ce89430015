// SPDX-License-Identifier: Apache-2.0
// Batch normalisation as a layer: values and running statistics by their formulas, gradients by differences, evaluation, one value alone.
#include "layers/batch_norm.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/random.h"
#include "layers/relu.h"
#include "tests/core/expect_error.h"
#include "tests/layers/numeric_gradient.h"

namespace isda {
namespace {

constexpr double kEpsilon = 1e-5;

struct Moments {
  double mean = 0, variance = 0;
};

// Of channel c; the variance is biased.
Moments moments_of(const View& x, std::int64_t c) {
  const std::int64_t channels = x.extent(-1), rows = x.size() / channels;
  Moments moments;
  for (std::int64_t m = 0; m < rows; ++m) moments.mean += x.at_offset(m * channels + c) / static_cast<double>(rows);
  for (std::int64_t m = 0; m < rows; ++m) moments.variance += std::pow(x.at_offset(m * channels + c) - moments.mean, 2) / static_cast<double>(rows);
  return moments;
}

class BatchNormLayer : public testing::Test {
 protected:
  BatchNormLayer() : bn(3) { randomise(bn, 1); }

  const PlacementScope scope{kExact};
  BatchNorm bn;
  const Tensor x = random_parameter({2, 3, 4, 3}, 11), residual = random_parameter({2, 3, 4, 3}, 12);
};

TEST_F(BatchNormLayer, StartsAsTheIdentityOfANormalisedInput) {
  BatchNorm fresh(3);
  fresh.initialise(1);
  for (std::int64_t c = 0; c < 3; ++c) {
    EXPECT_EQ(fresh.weight.view().at(c), 1);
    EXPECT_EQ(fresh.bias.view().at(c), 0);
    EXPECT_EQ(fresh.running_mean.view().at(c), 0);
    EXPECT_EQ(fresh.running_variance.view().at(c), 1);
  }
  ASSERT_EQ(fresh.parameters().size(), 2u);
  EXPECT_EQ(fresh.parameters()[0].name, "weight");
  EXPECT_EQ(fresh.parameters()[1].name, "bias");
  ASSERT_EQ(fresh.buffers().size(), 2u);
  EXPECT_EQ(fresh.buffers()[0].name, "running_mean");
  EXPECT_EQ(fresh.buffers()[1].name, "running_var");
}

TEST_F(BatchNormLayer, ValuesByTheFormula) {
  const Tensor y = bn(x), z = bn(x, {.residual = residual, .relu = true});
  const View plain = y, whole = z, v = x;
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const std::int64_t c = i % 3;
    const auto [mean, variance] = moments_of(v, c);
    const double expected = bn.weight.view().at(c) * (v.at_offset(i) - mean) / std::sqrt(variance + kEpsilon) + bn.bias.view().at(c);
    EXPECT_NEAR(plain.at_offset(i), expected, 1e-13);
    EXPECT_NEAR(whole.at_offset(i), std::max(0.0, expected + residual.view().at_offset(i)), 1e-13);
  }
}

TEST_F(BatchNormLayer, Gradients) {
  const std::vector<NamedTensor> leaves = {{"x", x}, {"weight", bn.weight}, {"bias", bn.bias}};
  auto with_residual = leaves;
  with_residual.push_back({"residual", residual});
  for (const bool is_training : {true, false}) {
    SCOPED_TRACE(is_training ? "training" : "evaluation");
    fill_uniform(bn.running_variance, 0.5, 2, 1, RandomStream::test, 3);
    bn.train(is_training);
    expect_gradients(leaves, [&] { return bn(x); });
    expect_gradients(leaves, [&] { return bn(x, {.relu = true}); });
    expect_gradients(with_residual, [&] { return bn(x, {.residual = residual}); });
    expect_gradients(with_residual, [&] { return bn(x, {.residual = residual, .relu = true}); });
    expect_gradients(leaves, [&] { return bn(x, {.residual = residual.detached(), .relu = true}); });
  }
}

TEST_F(BatchNormLayer, GradientsWhereXIsItsOwnResidual) {
  expect_gradients({{"x", x}}, [&] {
    const Tensor h = relu(x);
    return bn(h, {.residual = h, .relu = true});
  });
}

TEST_F(BatchNormLayer, RunningStatisticsFollowTheBatches) {
  constexpr double kMomentum = 0.2;
  BatchNorm layer(3, kMomentum);
  double mean[3] = {0, 0, 0}, variance[3] = {1, 1, 1};
  for (std::uint64_t step = 0; step < 5; ++step) {
    const Tensor batch = random_tensor({4, 2, 2, 3}, 100 + step, kExact, 1 + static_cast<double>(step));
    if (step % 2 == 0)
      layer(batch);
    else
      layer.relu_on_load(batch);
    for (std::int64_t c = 0; c < 3; ++c) {
      const Moments batch_moments = moments_of(batch, c);
      mean[c] = (1 - kMomentum) * mean[c] + kMomentum * batch_moments.mean;
      variance[c] = (1 - kMomentum) * variance[c] + kMomentum * batch_moments.variance * 16 / 15;  // unbiased
    }
    for (std::int64_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(layer.running_mean.view().at(c), mean[c], 1e-14) << "step " << step;
      EXPECT_NEAR(layer.running_variance.view().at(c), variance[c], 1e-13) << "step " << step;
    }
  }
}

TEST_F(BatchNormLayer, EvaluationUsesTheRunningStatisticsAndLeavesThemAlone) {
  fill_normal(bn.running_mean, 1, 1, RandomStream::test, 4);
  fill_uniform(bn.running_variance, 0.5, 2, 1, RandomStream::test, 5);
  const Tensor mean = bn.running_mean.clone(), variance = bn.running_variance.clone();
  bn.evaluate();
  const Tensor y = bn(x);
  const View v = x;
  for (std::int64_t i = 0; i < x.size(); ++i) {
    const std::int64_t c = i % 3;
    EXPECT_NEAR(y.view().at_offset(i),
                bn.weight.view().at(c) * (v.at_offset(i) - mean.view().at(c)) / std::sqrt(variance.view().at(c) + kEpsilon) + bn.bias.view().at(c), 1e-13);
  }
  const Normalized normalized = bn.relu_on_load(x);
  EXPECT_FALSE(normalized.is_training);
  EXPECT_NEAR(normalized.scale.view().at(1), bn.weight.view().at(1) / std::sqrt(variance.view().at(1) + kEpsilon), 1e-14);
  EXPECT_EQ(relative_error(bn.running_mean, mean), 0);
  EXPECT_EQ(relative_error(bn.running_variance, variance), 0);
}

// One value has no deviation: what is left of it is the bias, and no gradient goes back to it.
TEST_F(BatchNormLayer, OneValue) {
  const Tensor one = random_parameter({1, 1, 1, 3}, 13);
  const Tensor y = bn(one);
  for (std::int64_t c = 0; c < 3; ++c) {
    EXPECT_EQ(y.view().at_offset(c), bn.bias.view().at(c));
    EXPECT_NEAR(bn.running_mean.view().at(c), 0.1 * one.view().at_offset(c), 1e-15);
    EXPECT_EQ(bn.running_variance.view().at(c), 1) << "one value says nothing about the variance";
  }
  backward(weighted_sum(y));
  for (std::int64_t c = 0; c < 3; ++c) {
    EXPECT_EQ(gradient_of(one).view().at_offset(c), 0);
    EXPECT_EQ(gradient_of(bn.weight).view().at(c), 0);
    EXPECT_NE(gradient_of(bn.bias).view().at(c), 0);
  }
}

TEST_F(BatchNormLayer, CpuKeepsTheMeanOfLargeValuesApart) {
  const PlacementScope cpu({Device::cpu, DType::f32});
  BatchNorm layer(2);
  layer.initialise(1);
  const Tensor large({4, 5, 5, 2});
  for (std::int64_t i = 0; i < large.size(); ++i) large.view().set_offset(10000 + (i / 2) % 2, i);
  const Tensor y = layer(large);
  for (std::int64_t i = 0; i < large.size(); ++i) EXPECT_NEAR(y.view().at_offset(i), (i / 2) % 2 ? 1 : -1, 1e-3);
}

TEST_F(BatchNormLayer, WrongShapesAreErrors) {
  expect_error([&] { bn(random_tensor({2, 3, 4, 5}, 14)); }, "mean is (3), expected (5): the channels of x (2,3,4,5)");
  expect_error([&] { bn(x, {.residual = random_tensor({2, 3, 4, 2}, 15)}); }, "[batch_norm] residual is (2,3,4,2), expected (2,3,4,3)");
}

}  // namespace
}  // namespace isda
