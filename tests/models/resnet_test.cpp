// SPDX-License-Identifier: Apache-2.0
// The CIFAR residual networks: their size against the paper, names, shapes, and one network on two devices.
#include "models/resnet.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "losses/cross_entropy.h"
#include "models/registry.h"
#include "tests/core/expect_error.h"
#include "tests/layers/numeric_gradient.h"
#include "tests/losses/labels.h"
#include "tests/models/expect_network.h"

namespace isda {
namespace {

using Names = std::vector<std::string>;

// From the rule of the paper alone: a 3x3 convolution to 16 channels, three stages of n blocks of two 3x3 convolutions, a 1x1 convolution in
// the first block of the second and third stage, two parameters a channel behind every convolution, and the classifier.
std::int64_t parameters_by_formula(std::int64_t depth, std::int64_t classes) {
  const auto convolution = [](std::int64_t taps, std::int64_t in, std::int64_t out) { return taps * in * out + 2 * out; };
  const std::int64_t n = (depth - 2) / 6;
  std::int64_t count = convolution(9, 3, 16);
  for (const std::int64_t width : {16, 32, 64}) {
    const std::int64_t in = width == 16 ? 16 : width / 2;
    count += convolution(9, in, width) + (2 * n - 1) * convolution(9, width, width);
    if (width != 16) count += convolution(1, in, width);
  }
  return count + 64 * classes + classes;
}

TEST(CifarResNet, ParametersAreThoseOfTheFormula) {
  for (const int depth : {8, 14, 20, 32, 44, 56, 110}) {
    EXPECT_EQ(CifarResNet(depth, 10).parameter_count(), parameters_by_formula(depth, 10)) << depth;
  }
  EXPECT_EQ(CifarResNet(20, 100).parameter_count(), parameters_by_formula(20, 100));
  // By hand.
  EXPECT_EQ(parameters_by_formula(8, 10), 78'042);
  EXPECT_EQ(parameters_by_formula(32, 10), 466'906);
}

TEST(CifarResNet, ParametersAreThoseOfThePaper) {
  struct Paper {
    int depth;
    double millions, last_digit;
  };
  for (const auto& [depth, millions, last_digit] :
       {Paper{20, 0.27, 0.01}, Paper{32, 0.46, 0.01}, Paper{44, 0.66, 0.01}, Paper{56, 0.85, 0.01}, Paper{110, 1.7, 0.1}, Paper{1202, 19.4, 0.1}}) {
    const NetworkEntry entry = find_network(fmt::format("resnet{}", depth));
    EXPECT_EQ(entry.paper_parameters, millions);
    EXPECT_EQ(entry.paper, "He et al. 2016, table 6");
    // The paper's shortcuts have no parameters; option B's two convolutions add 2,752. Its figures round or cut off.
    EXPECT_NEAR(static_cast<double>(entry.make(10)->parameter_count()) / 1e6, millions, last_digit) << depth;
  }
}

TEST(CifarResNet, ParametersAreNamedAsTheFieldDoes) {
  const CifarResNet network(20, 10);
  Names names;
  for (const auto& [name, tensor] : network.parameters()) names.push_back(name);
  for (const auto& [name, tensor] : network.buffers()) names.push_back(name);
  for (const char* expected : {"conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var", "layer1.0.conv1.weight", "layer1.2.bn2.bias",
                               "layer2.0.downsample.0.weight", "layer2.0.downsample.1.bias", "layer3.0.downsample.1.running_var", "layer3.2.conv2.weight",
                               "layer3.2.bn2.running_mean", "fc.weight", "fc.bias"}) {
    EXPECT_NE(std::find(names.begin(), names.end(), expected), names.end()) << expected;
  }
  for (const char* wrong : {"layer1.0.downsample.0.weight", "layer2.1.downsample.0.weight", "layer1.3.conv1.weight", "layer4.0.conv1.weight", "conv1.bias"}) {
    EXPECT_EQ(std::find(names.begin(), names.end(), wrong), names.end()) << wrong;
  }
  EXPECT_EQ(names.size(), network.parameters().size() + network.buffers().size());
  EXPECT_EQ(network.parameters().front().name, "conv1.weight");
  EXPECT_EQ(network.parameters().back().name, "fc.bias");
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end()) << "no name twice";

  const CifarResNet deeper(32, 10);
  const auto buffers = deeper.buffers();
  EXPECT_TRUE(std::any_of(buffers.begin(), buffers.end(), [](const auto& buffer) { return buffer.name == "layer3.4.bn2.running_mean"; }));
}

TEST(CifarResNet, ParametersHaveTheShapesOfTheField) {
  const CifarResNet network(14, 7);
  for (const auto& [name, tensor] : network.parameters()) {
    const Shape& shape = tensor.shape();
    if (name == "conv1.weight") {
      EXPECT_EQ(shape, (Shape{16, 3, 3, 3}));
    } else if (name == "layer2.0.conv1.weight") {
      EXPECT_EQ(shape, (Shape{32, 3, 3, 16}));
    } else if (name == "layer2.0.downsample.0.weight") {
      EXPECT_EQ(shape, (Shape{32, 1, 1, 16}));
    } else if (name == "layer3.1.conv2.weight") {
      EXPECT_EQ(shape, (Shape{64, 3, 3, 64}));
    } else if (name == "fc.weight") {
      EXPECT_EQ(shape, (Shape{7, 64}));
    }
  }
  EXPECT_EQ(network.feature_width(), 64);
  EXPECT_EQ(network.classes(), 7);
}

TEST(CifarResNet, StartsAsThePaperSays) {
  CifarResNet network(20, 10);
  network.initialise(1);
  for (const auto& [name, tensor] : network.parameters()) {
    double squares = 0, sum = 0;
    for (std::int64_t i = 0; i < tensor.size(); ++i) {
      sum += tensor.view().at_offset(i);
      squares += std::pow(tensor.view().at_offset(i), 2);
    }
    const auto size = static_cast<double>(tensor.size());
    if (tensor.shape().rank() == 4) {
      const double deviation = std::sqrt(2.0 / static_cast<double>(tensor.extent(0) * tensor.extent(1) * tensor.extent(2)));
      EXPECT_NEAR(std::sqrt(squares / size), deviation, 5 * deviation / std::sqrt(2 * size)) << name;
    } else if (!name.starts_with("fc.")) {
      EXPECT_EQ(sum, name.ends_with("weight") ? size : 0) << name;
    }
  }
}

TEST(CifarResNet, FeaturesAndLogitsHaveTheirShapes) {
  CifarResNet network(8, 10);
  network.initialise(1);
  const NoGradient no_gradient;
  const Tensor images = random_tensor({3, 32, 32, 3}, 1, {Device::cpu, DType::f32});
  EXPECT_EQ(network.features(images).shape(), (Shape{3, 64}));
  EXPECT_EQ(network.logits(images).shape(), (Shape{3, 10}));
}

TEST(CifarResNet, InEvaluationAnImagesLogitsDoNotDependOnItsBatch) {
  CifarResNet network(8, 10);
  network.initialise(1);
  const NoGradient no_gradient;
  const Tensor images = random_tensor({4, 32, 32, 3}, 2, {Device::cpu, DType::f32});
  const Tensor one({1, 32, 32, 3});
  for (std::int64_t i = 0; i < one.size(); ++i) one.view().set_offset(images.view().at_offset(2 * one.size() + i), i);
  network.logits(images);  // moves the running statistics

  const auto difference = [&] {
    const Tensor together = network.logits(images), alone = network.logits(one);
    double largest = 0;
    for (std::int64_t c = 0; c < 10; ++c) largest = std::max(largest, std::abs(together.view().at(2, c) - alone.view().at(0, c)));
    return largest;
  };
  network.evaluate();
  EXPECT_LE(difference(), 1e-5);
  network.train();
  EXPECT_GT(difference(), 1e-3) << "in training it does";
}

TEST(CifarResNet, TheSameSeedGivesTheSameLogits) {
  const NoGradient no_gradient;
  const Tensor images = random_tensor({2, 32, 32, 3}, 3, {Device::cpu, DType::f32});
  const auto logits = [&](std::uint64_t seed) {
    CifarResNet network(8, 10);
    network.initialise(seed);
    return network.logits(images);
  };
  EXPECT_EQ(relative_error(logits(1), logits(1)), 0);
  EXPECT_GT(relative_error(logits(1), logits(2)), 0.01);
}

// Forward and backward of one network in f32 on the cpu and in f64 on the reference, from the same weights.
TEST(CifarResNet, CpuAgreesWithTheReference) {
  struct Outcome {
    Tensor features;
    double loss;
    std::vector<NamedTensor> gradients, buffers;
  };
  const auto run_network = [](const Placement& placement) {
    const PlacementScope scope(placement);
    CifarResNet network(8, 10);
    network.initialise(4);
    const Tensor features = network.features(random_tensor({3, 12, 12, 3}, 4, placement));
    const Tensor loss = cross_entropy(network.classifier()(features), labels_of({1, 7, 7}, placement.device)).loss;
    backward(loss);
    Outcome outcome{.features = features.detached(), .loss = loss.item(), .gradients = {}, .buffers = network.buffers()};
    for (const auto& [name, tensor] : network.parameters()) outcome.gradients.push_back({name, gradient_of(tensor)});
    return outcome;
  };
  const Outcome single = run_network({Device::cpu, DType::f32}), exact = run_network(kExact);
  expect_close(single.features, exact.features, 1e-5, "features");
  EXPECT_NEAR(single.loss, exact.loss, 1e-5);
  ASSERT_EQ(single.gradients.size(), exact.gradients.size());
  for (std::size_t i = 0; i < exact.gradients.size(); ++i) {
    expect_close(single.gradients[i].tensor, exact.gradients[i].tensor, 1e-4, "gradient of " + exact.gradients[i].name);
  }
  for (std::size_t i = 0; i < exact.buffers.size(); ++i) expect_close(single.buffers[i].tensor, exact.buffers[i].tensor, 1e-5, exact.buffers[i].name);
}

TEST(BasicBlock, Gradients) {
  const PlacementScope scope(kExact);
  for (const int stride : {1, 2}) {
    SCOPED_TRACE(stride);
    const BasicBlock block(2, stride == 1 ? 2 : 3, stride);
    expect_block_gradients(block, 2);
  }
}

TEST(CifarResNet, OtherDepthsAreErrors) {
  for (const int depth : {-4, 0, 2, 7, 9, 27, 100}) {
    EXPECT_FALSE(is_cifar_resnet_depth(depth));
    expect_error([&] { CifarResNet(depth, 10); }, fmt::format("[resnet] depth {} is not 6n+2", depth));
  }
}

}  // namespace
}  // namespace isda
