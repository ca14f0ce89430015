// SPDX-License-Identifier: Apache-2.0
// Wide residual networks, with and without squeeze-and-excitation: size, names, the logits of plain loops, gradients, and what dropout drops.
#include "models/wide_resnet.h"

#include <gtest/gtest.h>

#include "kernels/elementwise/elementwise.h"
#include "models/registry.h"
#include "tests/core/expect_error.h"
#include "tests/models/expect_network.h"

namespace isda {
namespace {

// From the rule of the paper alone: 3x3 to 16 channels; in each block two 3x3 convolutions, scale and shift of the channels before each, and a 1x1 convolution
// in the first block of a stage where the width changes; scale and shift in the end, and the classifier. With a reduction r two matrices of C C/r more a block.
std::int64_t parameters_by_formula(std::int64_t depth, std::int64_t k, std::int64_t classes, std::int64_t reduction = 0) {
  const std::int64_t n = (depth - 4) / 6;
  std::int64_t count = 9 * 3 * 16, in = 16;
  for (const std::int64_t out : {16 * k, 32 * k, 64 * k}) {
    count += 2 * in + 9 * in * out + 2 * out + 9 * out * out + (in != out ? in * out : 0);
    count += (n - 1) * (2 * out + 9 * out * out + 2 * out + 9 * out * out);
    if (reduction > 0) count += n * 2 * out * (out / reduction);
    in = out;
  }
  return count + 2 * in + in * classes + classes;
}

// As the contract of the operation says: element i is kept where its random number is at least the probability.
Maps dropped(Maps x, const DropoutOptions& dropout) {
  for (std::size_t i = 0; i < x.values.size(); ++i) {
    const auto words = kernels::dropout_words(dropout.seed, dropout.layer, kPlainStep, i / 4);
    x.values[i] = uniform_float(words[i % 4]) >= static_cast<float>(dropout.probability) ? x.values[i] / (1 - dropout.probability) : 0;
  }
  return x;
}

Tensor plain_wide(const PlainNetwork& plain, const Maps& images, const WideResNetOptions& options) {
  Maps x = plain.convolution("conv1", images, 1, 1);
  const int blocks = (options.depth - 4) / 6;
  for (int stage = 1; stage <= 3; ++stage) {
    for (int block = 0; block < blocks; ++block) {
      const std::string at = fmt::format("block{}.layer.{}.", stage, block);
      const int stride = stage > 1 && block == 0 ? 2 : 1;
      const Maps a = relu(plain.norm(at + "bn1", x));
      Maps inner = relu(plain.norm(at + "bn2", plain.convolution(at + "conv1", a, stride, 1)));
      if (options.dropout > 0 && plain.is_training()) {
        const auto layer = static_cast<std::uint32_t>((stage - 1) * blocks + block);
        inner = dropped(inner, {.probability = options.dropout, .seed = options.seed, .layer = layer});
      }
      Maps y = plain.convolution(at + "conv2", inner, 1, 1);
      if (options.reduction > 0) y = plain.squeeze_excitation(at + "se", y);
      x = sum(y, plain.has(at + "convShortcut.weight") ? plain.convolution(at + "convShortcut", a, stride, 0) : x);
    }
  }
  return plain.classifier("fc", relu(plain.norm("bn1", x)));
}

MakeNetwork make(const WideResNetOptions& options) {
  return [=] { return std::make_unique<WideResNet>(options); };
}

TEST(WideResNet, ParametersAreThoseOfTheFormula) {
  for (const int depth : {10, 16, 22}) {
    for (const int width : {1, 2, 4}) {
      EXPECT_EQ(WideResNet({.depth = depth, .width = width, .classes = 7}).parameter_count(), parameters_by_formula(depth, width, 7));
      EXPECT_EQ(WideResNet({.depth = depth, .width = width, .classes = 7, .reduction = 8}).parameter_count(), parameters_by_formula(depth, width, 7, 8));
    }
  }
  // The authors' program prints these.
  EXPECT_EQ(parameters_by_formula(28, 10, 10), 36'479'194);
  EXPECT_EQ(parameters_by_formula(16, 8, 10), 10'961'370);
}

TEST(WideResNet, ParametersAreThoseOfThePaper) {
  for (const auto& [name, millions] : {std::pair{"wide_resnet16_8", 11.0}, {"wide_resnet28_10", 36.5}, {"wide_resnet40_4", 8.9}}) {
    const NetworkEntry entry = find_network(name);
    EXPECT_EQ(entry.paper_parameters, millions);
    // NOTE: 8.95 million of the last are 8.9 there.
    EXPECT_NEAR(static_cast<double>(entry.make(10)->parameter_count()) / 1e6, millions, 0.06) << name;
  }
  EXPECT_EQ(find_network("wide_resnet28_10").make(10)->feature_width(), 640);
}

TEST(WideResNet, ParametersAreNamedAsTheFieldDoes) {
  const WideResNet network({.depth = 16, .width = 1});
  const auto parameters = network.parameters();
  for (const char* expected :
       {"conv1.weight", "block1.layer.0.bn1.weight", "block2.layer.0.convShortcut.weight", "block3.layer.1.conv2.weight", "bn1.bias", "fc.bias"})
    EXPECT_TRUE(has_name(parameters, expected)) << expected;
  // The first stage of width 1 keeps its channels.
  for (const char* wrong :
       {"block1.layer.0.convShortcut.weight", "block2.layer.1.convShortcut.weight", "block1.layer.0.se.fc1.weight", "block1.layer.2.bn1.weight"})
    EXPECT_FALSE(has_name(parameters, wrong)) << wrong;
  EXPECT_TRUE(has_name(WideResNet({.depth = 10, .width = 2}).parameters(), "block1.layer.0.convShortcut.weight"));
  EXPECT_TRUE(has_name(WideResNet({.depth = 10, .width = 1, .reduction = 4}).parameters(), "block1.layer.0.se.fc2.weight"));
}

void expect_plain(const WideResNetOptions& options) {
  expect_plain_logits(make(options), [=](const PlainNetwork& plain, const Maps& images) { return plain_wide(plain, images, options); });
}

TEST(WideResNet, LogitsAreThoseOfPlainLoops) {
  expect_plain({.depth = 10, .width = 1});
  expect_plain({.depth = 16, .width = 2, .classes = 3});
}

// NOTE: with one half the division is exact in every type.
TEST(WideResNet, WithDropoutLogitsAreThoseOfPlainLoops) { expect_plain({.depth = 16, .width = 1, .dropout = 0.5, .seed = 8}); }

TEST(SeWideResNet, LogitsAreThoseOfPlainLoops) { expect_plain({.depth = 10, .width = 2, .reduction = 16}); }

TEST(WideResNet, CpuAgreesWithTheReference) {
  for (const double dropout : {0.0, 0.4}) {
    const MakeNetwork network = make({.depth = 10, .width = 1, .dropout = dropout, .seed = 9});
    expect_same_step(step_outcome(network, {Device::cpu, DType::f32}, 8), step_outcome(network, kExact, 8), 1e-4);
  }
}

TEST(WideBlock, Gradients) {
  const PlacementScope scope(kExact);
  const Tensor step = Tensor::full({1}, 6, DType::i32, Device::reference);
  for (const WideBlockOptions& options : {WideBlockOptions{.in = 2, .out = 2}, WideBlockOptions{.in = 2, .out = 4, .stride = 2, .reduction = 2},
                                          WideBlockOptions{.in = 2, .out = 2, .dropout = {.probability = 0.3, .seed = 1}}}) {
    SCOPED_TRACE(fmt::format("stride {} dropout {}", options.stride, options.dropout.probability));
    const WideBlock block(options, step);
    expect_block_gradients(block, 2);
  }
}

TEST(WideResNet, WhatIsDroppedFollowsTheStepTheSeedAndTheBlock) {
  expect_draws_of_step_and_seed(
      [](std::uint64_t seed) { return std::make_unique<WideResNet>(WideResNetOptions{.depth = 10, .width = 1, .dropout = 0.3, .seed = seed}); });
  expect_draws_of_layer([](std::uint32_t layer, const Tensor& step) {
    return std::make_unique<WideBlock>(WideBlockOptions{.dropout = {.probability = 0.3, .seed = 1, .layer = layer}}, step);
  });
}

TEST(WideResNet, HasAStepOnlyWhereItDrops) {
  EXPECT_FALSE(WideResNet({.depth = 10, .width = 1}).step());
  const WideResNet network({.depth = 10, .width = 1, .dropout = 0.1});
  EXPECT_EQ(network.step().type(), DType::i32);
  EXPECT_EQ(network.buffers().size(), WideResNet({.depth = 10, .width = 1}).buffers().size()) << "weights of other programs have no step";
}

TEST(WideResNet, WhatCannotBeIsAnError) {
  for (const int depth : {-2, 4, 8, 11, 27}) expect_error([&] { WideResNet({.depth = depth}); }, fmt::format("[wide resnet] depth {} is not 6n+4", depth));
  expect_error([] { WideResNet({.width = 0}); }, "[wide resnet] width 0 was asked for, expected 1 or more");
  expect_error([] { WideResNet({.depth = 10, .width = 1, .reduction = 3}); }, "[squeeze excitation] the reduction 3 does not divide 16 channels");
}

}  // namespace
}  // namespace isda
