// SPDX-License-Identifier: Apache-2.0
// DenseNet-BC: size against the paper, the logits of plain loops, gradients, whose statistics are computed. Names, shapes and the logits of whole networks are
// held against PyTorch's in golden_logits_test.cpp.
#include "models/densenet.h"

#include <gtest/gtest.h>

#include "kernels/common/trace.h"
#include "models/registry.h"
#include "tests/core/card.h"
#include "tests/core/expect_error.h"
#include "tests/models/expect_network.h"

namespace isda {
namespace {

// NOTE: an odd number of channels at the first transition, which is rounded down.
const DenseNetOptions kSmall{.blocks = {3, 2}, .growth = 3, .first = 4, .bottleneck = 2};
const DenseNetOptions kLarge{.blocks = {1, 2, 1}, .growth = 4, .first = 8, .compression = 0.75, .is_for_large_images = true};

MakeNetwork make(const DenseNetOptions& options) {
  return [=] { return std::make_unique<DenseNet>(options); };
}

Tensor plain_logits(const PlainNetwork& plain, const Maps& images, const DenseNetOptions& options) {
  const std::string features = "features.";
  const auto convolved = [&](const std::string& norm, const std::string& conv, const Maps& x, std::int64_t padding) {
    return plain.convolution(features + conv, relu(plain.norm(features + norm, x)), 1, padding);
  };
  Maps x = options.is_for_large_images ? maxima(relu(plain.norm("features.norm0", plain.convolution("features.conv0", images, 2, 3))), 3, 2, 1)
                                       : plain.convolution("features.conv0", images, 1, 1);
  for (std::size_t block = 1; block <= options.blocks.size(); ++block) {
    for (int layer = 1; layer <= options.blocks[block - 1]; ++layer) {
      const std::string at = fmt::format("denseblock{}.denselayer{}.", block, layer);
      x = joined(x, convolved(at + "norm2", at + "conv2", convolved(at + "norm1", at + "conv1", x, 0), 1));
    }
    const std::string at = fmt::format("transition{}.", block);
    if (block < options.blocks.size()) x = halved(convolved(at + "norm", at + "conv", x, 0));
  }
  return plain.classifier("classifier", relu(plain.norm("features.norm5", x)));
}

TEST(DenseNet, LogitsAreThoseOfPlainLoops) {
  for (const auto& [options, extent] : {std::pair{kSmall, 9}, {kLarge, 33}}) {
    SCOPED_TRACE(extent);
    expect_plain_logits(
        make(options), [&options = options](const PlainNetwork& plain, const Maps& images) { return plain_logits(plain, images, options); }, extent);
  }
}

void expect_steps_agree(const Placement& placement, const Placement& expected) {
  expect_same_step(step_outcome(make(kSmall), placement, 8), step_outcome(make(kSmall), expected, 8), 1e-4);
  expect_same_step(step_outcome(make(kLarge), placement, 32, true), step_outcome(make(kLarge), expected, 32, true), 1e-4);
}

TEST(DenseNet, CpuAgreesWithTheReference) { expect_steps_agree({Device::cpu, DType::f32}, kExact); }

class DenseNetOnTheCard : public OnTheCardTest {};

TEST_F(DenseNetOnTheCard, AStepIsTheCpus) { expect_steps_agree({Device::cuda, DType::f32}, {Device::cpu, DType::f32}); }

// NOTE: bf16 keeps 8 bits; what is held is that every layer computes in it.
TEST_F(DenseNetOnTheCard, ComputesInBf16) {
  const double loss = step_outcome(make(kSmall), {Device::cuda, DType::bf16}, 8).loss, expected = step_outcome(make(kSmall), kExact, 8).loss;
  EXPECT_NEAR(loss, expected, 0.05 * expected);
}

TEST(DenseNet, ParametersAreThoseOfThePaper) {
  // 4 + 3*3 channels, half of them rounded down, and 2*3.
  EXPECT_EQ(DenseNet(kSmall).feature_width(), 12);
  for (const auto& [name, width] : {std::pair{"densenet_bc100_12", 342}, {"densenet_bc250_24", 1734}, {"densenet_bc190_40", 2190}}) {
    const NetworkEntry entry = find_network(name);
    const auto network = entry.make(10);
    EXPECT_NEAR(static_cast<double>(network->parameter_count()) * 1e-6, entry.paper_parameters, 0.05) << name;
    EXPECT_EQ(network->feature_width(), width) << name;
  }
  EXPECT_EQ(find_network("imagenet_densenet121").make(1000)->parameter_count(), 7'978'856);
  EXPECT_EQ(find_network("imagenet_densenet121").make(1000)->feature_width(), 1024);
  EXPECT_NEAR(count_multiply_adds(find_network("imagenet_densenet121"), 1000) * 1e-9, 2.83, 0.01);
}

// A layer's input is all that came before, but its channels' statistics are not computed over and over: a block computes those of what it begins with,
// once, and the rest came with the convolutions.
TEST(DenseNet, StatisticsAreComputedOnceABlock) {
  const PlacementScope scope({Device::cpu, DType::f32});
  const DenseNet network(kSmall);
  const OperationLog log;
  network.logits(random_tensor({2, 8, 8, 3}, 1, {Device::cpu, DType::f32}));
  std::vector<std::string> names;
  for (const auto& [name, cost] : log.entries()) names.emplace_back(name);
  EXPECT_EQ(std::count(names.begin(), names.end(), "batch_norm_statistics"), 1) << "the first block begins with a convolution, the second with a pooling";
  EXPECT_EQ(std::count(names.begin(), names.end(), "concat"), 3 * 5) << "of maps, means and variances";
}

// What a layer's input is given by the layers behind it is added on the way through its first normalisation.
TEST(DenseNet, GradientsAreAddedOnTheWay) {
  const PlacementScope scope({Device::cpu, DType::f32});
  const DenseNet network(kSmall);
  const Tensor loss = cross_entropy(network.logits(random_tensor({2, 8, 8, 3}, 1, {Device::cpu, DType::f32})), labels_of({1, 7}, Device::cpu)).loss;
  const OperationLog log;
  backward(loss);
  for (const auto& [name, cost] : log.entries()) EXPECT_NE(std::string_view(name), "add");
}

TEST(DenseNet, MembersGoByTheirNames) {
  EXPECT_EQ(find_network("densenet_bc40_8").description, "DenseNet-BC-40_8 for 32x32 images");
  EXPECT_EQ(find_network("densenet_bc10_4").make(10)->feature_width(), 9);
  for (const char* name : {"densenet_bc100", "densenet_bc101_12", "densenet_bc4_12", "imagenet_densenet120", "densenet121"})
    expect_error([&] { find_network(name); }, fmt::format("[models] there is no model '{}'", name));
}

TEST(DenseNet, WhatCannotBeIsAnError) {
  expect_error([] { cifar_densenet_options(101, 12); }, "[densenet] depth 101 is not 6n+4");
  expect_error([] { imagenet_densenet_options(100); }, "[densenet] depth 100 is none of 121, 161, 169, 201, 265");
  expect_error([] { DenseNet({.blocks = {}}); }, "[densenet] expected 1 block or more");
  expect_error([] { DenseNet({.growth = 0}); }, "[densenet] growth 0");
  expect_error([] { DenseNet({.compression = 1.5}); }, "[densenet] compression 1.5");
}

TEST(DenseLayer, Gradients) {
  const PlacementScope scope(kExact);
  const DenseLayer layer(3, 4, 2);
  expect_block_gradients(layer, 3);
}

TEST(Transition, Gradients) {
  const PlacementScope scope(kExact);
  const Transition transition(3, 2);
  expect_block_gradients(transition, 3);
}

}  // namespace
}  // namespace isda
