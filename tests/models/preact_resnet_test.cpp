// SPDX-License-Identifier: Apache-2.0
// Residual networks of pre-activation, of basic blocks and of bottlenecks: size, names, the logits of plain loops, gradients.
#include "models/preact_resnet.h"

#include <gtest/gtest.h>

#include "models/registry.h"
#include "tests/core/expect_error.h"
#include "tests/models/expect_network.h"

namespace isda {
namespace {

// From the rule alone: 3x3 to 16 channels; a block of C to K channels has scale and shift before each convolution, and a 1x1 convolution where C != K.
std::int64_t parameters_by_formula(std::int64_t depth, bool is_bottleneck, std::int64_t classes) {
  const std::int64_t n = (depth - 2) / (is_bottleneck ? 9 : 6), widening = is_bottleneck ? 4 : 1;
  std::int64_t count = 9 * 3 * 16, in = 16;
  for (const std::int64_t inside : {16, 32, 64}) {
    const std::int64_t out = inside * widening;
    for (std::int64_t block = 0; block < n; ++block) {
      if (is_bottleneck)
        count += 2 * in + in * inside + 2 * inside + 9 * inside * inside + 2 * inside + inside * out;
      else
        count += 2 * in + 9 * in * out + 2 * out + 9 * out * out;
      if (in != out) count += in * out;
      in = out;
    }
  }
  return count + 2 * in + in * classes + classes;
}

Tensor plain_preact(const PlainNetwork& plain, const Maps& images, int blocks) {
  Maps x = plain.convolution("conv1", images, 1, 1);
  for (int stage = 1; stage <= 3; ++stage) {
    for (int block = 0; block < blocks; ++block) {
      const std::string at = fmt::format("layer{}.{}.", stage, block);
      const int stride = stage > 1 && block == 0 ? 2 : 1;
      const Maps a = relu(plain.norm(at + "bn1", x));
      if (stage == 1 && block == 0) x = a;
      Maps y = a;
      if (plain.has(at + "conv3.weight")) {
        y = plain.convolution(at + "conv1", a, 1, 0);
        y = plain.convolution(at + "conv2", relu(plain.norm(at + "bn2", y)), stride, 1);
        y = plain.convolution(at + "conv3", relu(plain.norm(at + "bn3", y)), 1, 0);
      } else {
        y = plain.convolution(at + "conv1", a, stride, 1);
        y = plain.convolution(at + "conv2", relu(plain.norm(at + "bn2", y)), 1, 1);
      }
      x = sum(y, plain.has(at + "downsample.0.weight") ? plain.convolution(at + "downsample.0", a, stride, 0) : x);
    }
  }
  return plain.classifier("fc", relu(plain.norm("bn", x)));
}

MakeNetwork make(const PreactResNetOptions& options) {
  return [=] { return std::make_unique<PreactResNet>(options); };
}

TEST(PreactResNet, ParametersAreThoseOfTheFormula) {
  for (const int depth : {8, 20, 110}) EXPECT_EQ(PreactResNet({.depth = depth}).parameter_count(), parameters_by_formula(depth, false, 10)) << depth;
  for (const int depth : {11, 20, 164})
    EXPECT_EQ(PreactResNet({.depth = depth, .is_bottleneck = true}).parameter_count(), parameters_by_formula(depth, true, 10)) << depth;
}

TEST(PreactResNet, ParametersAreThoseOfThePaper) {
  for (const auto& [name, millions] : {std::pair{"preact_resnet110", 1.7}, {"preact_resnet164", 1.7}, {"preact_resnet1001", 10.2}}) {
    const NetworkEntry entry = find_network(name);
    EXPECT_EQ(entry.paper_parameters, millions);
    // NOTE: the paper's figures are those of the convolutions and the classifier; with its normalisations the last has 10.33 million.
    std::int64_t count = 0;
    for (const auto& [parameter_name, tensor] : entry.make(10)->parameters()) {
      if (tensor.shape().rank() == 4 || parameter_name.starts_with("fc.")) count += tensor.size();
    }
    EXPECT_NEAR(static_cast<double>(count) / 1e6, millions, 0.05) << name;
  }
  EXPECT_EQ(find_network("preact_resnet110").make(10)->feature_width(), 64);
  EXPECT_EQ(find_network("preact_resnet164").make(10)->feature_width(), 256) << "from there on, bottlenecks";
}

TEST(PreactResNet, ParametersAreNamedAsTheFieldDoes) {
  const auto basic = PreactResNet({.depth = 14}).parameters(), bottlenecks = PreactResNet({.depth = 20, .is_bottleneck = true}).parameters();
  for (const char* expected : {"conv1.weight", "layer1.0.bn1.weight", "layer2.0.downsample.0.weight", "layer3.1.conv2.weight", "bn.bias", "fc.bias"}) {
    EXPECT_TRUE(has_name(basic, expected)) << expected;
    EXPECT_TRUE(has_name(bottlenecks, expected)) << expected;
  }
  EXPECT_FALSE(has_name(basic, "layer1.0.downsample.0.weight"));
  EXPECT_FALSE(has_name(basic, "layer1.0.conv3.weight"));
  EXPECT_TRUE(has_name(bottlenecks, "layer1.0.downsample.0.weight"));
  EXPECT_TRUE(has_name(bottlenecks, "layer1.1.bn3.bias"));
  EXPECT_FALSE(has_name(bottlenecks, "layer1.1.downsample.0.weight"));
}

TEST(PreactResNet, LogitsAreThoseOfPlainLoops) {
  expect_plain_logits(make({.depth = 14}), [](const PlainNetwork& plain, const Maps& images) { return plain_preact(plain, images, 2); });
  expect_plain_logits(make({.depth = 20, .is_bottleneck = true, .classes = 3}),
                      [](const PlainNetwork& plain, const Maps& images) { return plain_preact(plain, images, 2); });
}

TEST(PreactResNet, CpuAgreesWithTheReference) {
  for (const PreactResNetOptions& options : {PreactResNetOptions{.depth = 8}, PreactResNetOptions{.depth = 11, .is_bottleneck = true}})
    expect_same_step(step_outcome(make(options), {Device::cpu, DType::f32}, 8), step_outcome(make(options), kExact, 8), 1e-4);
}

TEST(PreactBlock, Gradients) {
  const PlacementScope scope(kExact);
  for (const PreactBlockOptions& options : {PreactBlockOptions{.in = 2, .out = 2}, PreactBlockOptions{.in = 2, .out = 2, .splits_activated = true},
                                            PreactBlockOptions{.in = 2, .out = 3, .stride = 2}, PreactBlockOptions{.in = 4, .out = 4, .is_bottleneck = true},
                                            PreactBlockOptions{.in = 3, .out = 8, .stride = 2, .is_bottleneck = true}}) {
    SCOPED_TRACE(fmt::format("{} to {}, stride {}", options.in, options.out, options.stride));
    const PreactBlock block(options);
    expect_block_gradients(block, options.in);
  }
}

TEST(PreactResNet, OtherDepthsAreErrors) {
  for (const int depth : {2, 9, 12}) expect_error([&] { PreactResNet({.depth = depth}); }, fmt::format("[preact resnet] depth {} is not 6n+2", depth));
  for (const int depth : {2, 8, 110 + 1})
    expect_error([&] { PreactResNet({.depth = depth, .is_bottleneck = true}); }, fmt::format("[preact resnet] depth {} is not 9n+2", depth));
}

}  // namespace
}  // namespace isda
