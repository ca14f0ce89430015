// SPDX-License-Identifier: Apache-2.0
// ReLU, sum, sigmoid, scale by channel, linear: values by their formulas, gradients by differences.
#include <gtest/gtest.h>

#include <cmath>

#include "layers/add.h"
#include "layers/linear.h"
#include "layers/relu.h"
#include "layers/scale_channels.h"
#include "layers/sigmoid.h"
#include "tests/core/expect_error.h"
#include "tests/layers/numeric_gradient.h"

namespace isda {
namespace {

TEST(Relu, ValuesAndGradient) {
  const Tensor x = random_parameter({2, 3, 3, 4}, 1);
  const Tensor y = relu(x);
  for (std::int64_t i = 0; i < x.size(); ++i) EXPECT_EQ(y.view().at_offset(i), std::max(0.0, x.view().at_offset(i)));
  expect_gradients({{"x", x}}, [&] { return relu(x); });
}

TEST(Sigmoid, ValuesAndGradient) {
  const Tensor x = random_parameter({5, 7}, 2);
  const Tensor y = sigmoid(x);
  for (std::int64_t i = 0; i < x.size(); ++i) EXPECT_NEAR(y.view().at_offset(i), 1 / (1 + std::exp(-x.view().at_offset(i))), 1e-15);
  expect_gradients({{"x", x}}, [&] { return sigmoid(x); });
}

TEST(Add, ValuesAndGradient) {
  const Tensor a = random_parameter({2, 3, 3, 4}, 3), b = random_parameter({2, 3, 3, 4}, 4);
  const Tensor y = add(a, b);
  for (std::int64_t i = 0; i < a.size(); ++i) EXPECT_EQ(y.view().at_offset(i), a.view().at_offset(i) + b.view().at_offset(i));
  expect_gradients({{"a", a}, {"b", b}}, [&] { return add(a, b); });
  expect_gradients({{"a", a}}, [&] { return add(a, a); });
  // Both gradients are one array: a later use of one side must not reach the other.
  expect_gradients({{"a", a}, {"b", b}}, [&] { return add(add(a, b), relu(a)); });
  expect_error([&] { add(a, random_tensor({2, 3, 3, 5}, 5)); }, "[add] b is (2,3,3,5), expected (2,3,3,4)");
}

TEST(ScaleChannels, ValuesAndGradient) {
  const Tensor x = random_parameter({2, 3, 5, 4}, 6), scale = random_parameter({2, 4}, 7);
  const Tensor y = scale_channels(x, scale);
  for (std::int64_t n = 0; n < 2; ++n) {
    for (std::int64_t c = 0; c < 4; ++c) EXPECT_EQ(y.view().at(n, 2, 3, c), x.view().at(n, 2, 3, c) * scale.view().at(n, c));
  }
  expect_gradients({{"x", x}, {"scale", scale}}, [&] { return scale_channels(x, scale); });
}

TEST(LinearLayer, ValuesAndGradient) {
  const Tensor x = random_parameter({5, 7}, 8), weight = random_parameter({3, 7}, 9), bias = random_parameter({3}, 10);
  const Tensor y = linear(x, weight, bias);
  for (std::int64_t n = 0; n < 5; ++n) {
    for (std::int64_t c = 0; c < 3; ++c) {
      double sum = bias.view().at(c);
      for (std::int64_t a = 0; a < 7; ++a) sum += x.view().at(n, a) * weight.view().at(c, a);
      EXPECT_NEAR(y.view().at(n, c), sum, 1e-13);
    }
  }
  expect_gradients({{"x", x}, {"weight", weight}, {"bias", bias}}, [&] { return linear(x, weight, bias); });
}

TEST(LinearLayer, OfAConstantGivesGradientsToTheParametersAlone) {
  const PlacementScope scope(kExact);
  Linear layer(7, 3);
  layer.initialise(1);
  EXPECT_EQ(layer.weight.shape(), (Shape{3, 7}));
  EXPECT_EQ(layer.bias.shape(), (Shape{3}));
  const Tensor x = random_tensor({5, 7}, 11);
  expect_gradients(layer.parameters(), [&] { return layer(x); });
  expect_error([&] { layer(random_tensor({5, 6}, 12)); }, "[linear]");
}

TEST(LinearLayer, StartsUniformWithinOneOverTheRootOfItsInputs) {
  Linear layer(400, 30);
  layer.initialise(2);
  for (const auto& [name, tensor] : layer.parameters()) {
    double largest = 0;
    for (std::int64_t i = 0; i < tensor.size(); ++i) largest = std::max(largest, std::abs(tensor.view().at_offset(i)));
    EXPECT_LE(largest, 1 / std::sqrt(400.0)) << name;
    EXPECT_GT(largest, 0.8 / std::sqrt(400.0)) << name;
  }
}

}  // namespace
}  // namespace isda
