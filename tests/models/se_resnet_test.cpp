// SPDX-License-Identifier: Apache-2.0
// Residual networks with squeeze-and-excitation: size, names, the logits of plain loops, gradients.
#include "models/se_resnet.h"

#include <gtest/gtest.h>

#include "models/registry.h"
#include "models/resnet.h"
#include "tests/core/expect_error.h"
#include "tests/models/expect_network.h"

namespace isda {
namespace {

Tensor plain_se(const PlainNetwork& plain, const Maps& images, int blocks) {
  Maps x = relu(plain.norm("bn1", plain.convolution("conv1", images, 1, 1)));
  for (int stage = 1; stage <= 3; ++stage) {
    for (int block = 0; block < blocks; ++block) {
      const std::string at = fmt::format("layer{}.{}.", stage, block);
      const int stride = stage > 1 && block == 0 ? 2 : 1;
      const Maps inner = relu(plain.norm(at + "bn1", plain.convolution(at + "conv1", x, stride, 1)));
      const Maps y = plain.squeeze_excitation(at + "se", plain.norm(at + "bn2", plain.convolution(at + "conv2", inner, 1, 1)));
      const Maps shortcut = stride == 2 ? plain.norm(at + "downsample.1", plain.convolution(at + "downsample.0", x, 2, 0)) : x;
      x = relu(sum(y, shortcut));
    }
  }
  return plain.classifier("fc", x);
}

MakeNetwork make(const SeResNetOptions& options) {
  return [=] { return std::make_unique<SeResNet>(options); };
}

// The residual network of the same depth, and in each of its n blocks a stage two matrices of C * C/16.
TEST(SeResNet, ParametersAreThoseOfTheFormula) {
  for (const int depth : {8, 20, 110}) {
    const std::int64_t n = (depth - 2) / 6, gates = n * 2 * (16 * 1 + 32 * 2 + 64 * 4);
    EXPECT_EQ(SeResNet({.depth = depth}).parameter_count(), CifarResNet(depth, 10).parameter_count() + gates) << depth;
  }
  EXPECT_EQ(SeResNet({.depth = 110}).parameter_count(), 1'742'810);
  const NetworkEntry entry = find_network("se_resnet110");
  EXPECT_EQ(entry.paper_parameters, 1.7);
  EXPECT_NEAR(static_cast<double>(entry.make(10)->parameter_count()) / 1e6, 1.7, 0.05);
}

TEST(SeResNet, ParametersAreNamedAsTheFieldDoes) {
  const SeResNet network({.depth = 14});
  const auto parameters = network.parameters();
  for (const char* expected :
       {"conv1.weight", "layer1.0.se.fc1.weight", "layer3.1.se.fc2.weight", "layer2.0.downsample.0.weight", "layer2.0.downsample.1.bias", "fc.bias"})
    EXPECT_TRUE(has_name(parameters, expected)) << expected;
  for (const char* wrong : {"layer1.0.downsample.0.weight", "layer2.1.downsample.0.weight", "layer1.0.se.fc1.bias"})
    EXPECT_FALSE(has_name(parameters, wrong)) << wrong;
  for (const auto& [name, tensor] : parameters) {
    if (name == "layer3.0.se.fc1.weight") {
      EXPECT_EQ(tensor.shape(), (Shape{4, 1, 1, 64}));
    }
  }
}

TEST(SeResNet, LogitsAreThoseOfPlainLoops) {
  expect_plain_logits(make({.depth = 8}), [](const PlainNetwork& plain, const Maps& images) { return plain_se(plain, images, 1); });
  expect_plain_logits(make({.depth = 14, .reduction = 4, .classes = 3}),
                      [](const PlainNetwork& plain, const Maps& images) { return plain_se(plain, images, 2); });
}

TEST(SeResNet, CpuAgreesWithTheReference) {
  expect_same_step(step_outcome(make({.depth = 8}), {Device::cpu, DType::f32}, 8), step_outcome(make({.depth = 8}), kExact, 8), 1e-4);
}

TEST(SeBlock, Gradients) {
  const PlacementScope scope(kExact);
  for (const int stride : {1, 2}) {
    SCOPED_TRACE(stride);
    const SeBlock block({.in = 2, .out = stride == 1 ? 2 : 4, .stride = stride, .reduction = 2});
    expect_block_gradients(block, 2);
  }
}

TEST(SeResNet, WhatCannotBeIsAnError) {
  for (const int depth : {0, 7, 27}) expect_error([&] { SeResNet({.depth = depth}); }, fmt::format("[se resnet] depth {} is not 6n+2", depth));
  expect_error([] { SqueezeExcitation(16, 5); }, "[squeeze excitation] the reduction 5 does not divide 16 channels");
  const SqueezeExcitation gate(16, 16);
  expect_error([&] { gate(Tensor::zeros({1, 2, 3, 16})); }, "[squeeze excitation] x is (1,2,3,16), expected (N,H,W,C) with H = W");
}

}  // namespace
}  // namespace isda
