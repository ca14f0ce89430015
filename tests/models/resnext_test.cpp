// SPDX-License-Identifier: Apache-2.0
// ResNeXt: size, names, the logits of plain loops, gradients.
#include "models/resnext.h"

#include <gtest/gtest.h>

#include "models/registry.h"
#include "tests/core/expect_error.h"
#include "tests/models/expect_network.h"

namespace isda {
namespace {

// From the rule of the paper alone: 3x3 to 64 channels; in each block 1x1 to G D channels, 3x3 in G groups, 1x1 out of them, two parameters a channel behind
// each; in the first block of a stage a 1x1 convolution and normalisation beside them.
std::int64_t parameters_by_formula(std::int64_t depth, std::int64_t groups, std::int64_t width, std::int64_t classes) {
  std::int64_t count = 9 * 3 * 64 + 2 * 64, in = 64;
  for (const std::int64_t scale : {1, 2, 4}) {
    const std::int64_t of_group = width * scale, inside = groups * of_group, out = 256 * scale;
    for (std::int64_t block = 0; block < (depth - 2) / 9; ++block) {
      count += in * inside + 2 * inside + groups * 9 * of_group * of_group + 2 * inside + inside * out + 2 * out;
      if (in != out) count += in * out + 2 * out;
      in = out;
    }
  }
  return count + in * classes + classes;
}

Tensor plain_resnext(const PlainNetwork& plain, const Maps& images, int blocks, int groups) {
  Maps x = relu(plain.norm("bn1", plain.convolution("conv1", images, 1, 1)));
  for (int stage = 1; stage <= 3; ++stage) {
    for (int block = 0; block < blocks; ++block) {
      const std::string at = fmt::format("layer{}.{}.", stage, block);
      const int stride = stage > 1 && block == 0 ? 2 : 1;
      Maps y = relu(plain.norm(at + "bn1", plain.convolution(at + "conv1", x, 1, 0)));
      y = relu(plain.norm(at + "bn2", plain.convolution(at + "conv2", y, stride, 1, groups)));
      y = plain.norm(at + "bn3", plain.convolution(at + "conv3", y, 1, 0));
      x = relu(sum(y, block == 0 ? plain.norm(at + "downsample.1", plain.convolution(at + "downsample.0", x, stride, 0)) : x));
    }
  }
  return plain.classifier("fc", x);
}

MakeNetwork make(const ResNeXtOptions& options) {
  return [=] { return std::make_unique<ResNeXt>(options); };
}

TEST(ResNeXt, ParametersAreThoseOfTheFormula) {
  EXPECT_EQ(ResNeXt({.depth = 11, .cardinality = 3, .width = 5, .classes = 7}).parameter_count(), parameters_by_formula(11, 3, 5, 7));
  EXPECT_EQ(ResNeXt({.depth = 29, .cardinality = 8, .width = 4}).parameter_count(), parameters_by_formula(29, 8, 4, 10));
  // By hand.
  EXPECT_EQ(parameters_by_formula(29, 8, 64, 10), 34'426'698);
}

TEST(ResNeXt, ParametersAreThoseOfThePaper) {
  for (const auto& [name, millions, groups] : {std::tuple{"resnext29_8x64", 34.4, 8}, {"resnext29_16x64", 68.1, 16}}) {
    const NetworkEntry entry = find_network(name);
    const auto network = entry.make(10);
    EXPECT_EQ(entry.paper_parameters, millions);
    EXPECT_EQ(network->parameter_count(), parameters_by_formula(29, groups, 64, 10));
    EXPECT_NEAR(static_cast<double>(network->parameter_count()) / 1e6, millions, 0.1) << name;
    EXPECT_EQ(network->feature_width(), 1024);
  }
}

TEST(ResNeXt, ParametersAreNamedAsTheFieldDoes) {
  const auto parameters = ResNeXt({.depth = 20, .cardinality = 4, .width = 2}).parameters();
  for (const char* expected :
       {"conv1.weight", "bn1.bias", "layer1.0.downsample.0.weight", "layer1.0.downsample.1.weight", "layer3.1.conv3.weight", "layer3.1.bn3.bias", "fc.weight"})
    EXPECT_TRUE(has_name(parameters, expected)) << expected;
  for (const char* wrong : {"layer1.1.downsample.0.weight", "layer1.2.conv1.weight", "layer4.0.conv1.weight"})
    EXPECT_FALSE(has_name(parameters, wrong)) << wrong;
  for (const auto& [name, tensor] : parameters) {
    if (name == "layer2.1.conv2.weight") {
      EXPECT_EQ(tensor.shape(), (Shape{16, 3, 3, 4})) << "four groups of four";
    }
  }
}

TEST(ResNeXt, LogitsAreThoseOfPlainLoops) {
  expect_plain_logits(make({.depth = 11, .cardinality = 2, .width = 4}),
                      [](const PlainNetwork& plain, const Maps& images) { return plain_resnext(plain, images, 1, 2); });
  expect_plain_logits(make({.depth = 20, .cardinality = 4, .width = 2, .classes = 3}),
                      [](const PlainNetwork& plain, const Maps& images) { return plain_resnext(plain, images, 2, 4); });
}

TEST(ResNeXt, CpuAgreesWithTheReference) {
  const MakeNetwork network = make({.depth = 11, .cardinality = 2, .width = 4});
  expect_same_step(step_outcome(network, {Device::cpu, DType::f32}, 8), step_outcome(network, kExact, 8), 1e-4);
}

TEST(ResNeXtBlock, Gradients) {
  const PlacementScope scope(kExact);
  for (const ResNeXtBlockOptions& options :
       {ResNeXtBlockOptions{.in = 3, .inside = 4, .out = 3, .groups = 2}, ResNeXtBlockOptions{.in = 2, .inside = 6, .out = 3, .stride = 2, .groups = 3}}) {
    SCOPED_TRACE(options.groups);
    const ResNeXtBlock block(options);
    expect_block_gradients(block, options.in);
  }
}

TEST(ResNeXt, WhatCannotBeIsAnError) {
  for (const int depth : {2, 8, 28}) expect_error([&] { ResNeXt({.depth = depth}); }, fmt::format("[resnext] depth {} is not 9n+2", depth));
  expect_error([] { ResNeXt({.cardinality = 0}); }, "[resnext] 0x64d was asked for");
}

}  // namespace
}  // namespace isda
