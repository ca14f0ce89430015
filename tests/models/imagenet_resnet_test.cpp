// SPDX-License-Identifier: Apache-2.0
// ResNet and ResNeXt for large images: the logits of plain loops, gradients, size. Names, shapes and the logits of the whole networks are held against
// torchvision's in golden_logits_test.cpp.
#include "models/imagenet_resnet.h"

#include <gtest/gtest.h>

#include "models/registry.h"
#include "tests/core/card.h"
#include "tests/core/expect_error.h"
#include "tests/models/expect_network.h"

namespace isda {
namespace {

// Two blocks in the second stage, so that one keeps the shape.
constexpr ImageNetResNetOptions kBasic{.blocks = {1, 2, 1, 1}, .are_bottlenecks = false, .first = 3, .classes = 5};
constexpr ImageNetResNetOptions kGroups{.blocks = {1, 2, 1, 1}, .groups = 3, .width = 2, .first = 2, .classes = 5};

MakeNetwork make(const ImageNetResNetOptions& options) {
  return [=] { return std::make_unique<ImageNetResNet>(options); };
}

Maps plain_block(const PlainNetwork& plain, const std::string& at, const Maps& x, const ImageNetResNetOptions& options, std::int64_t stride) {
  Maps y = x;
  if (options.are_bottlenecks) {
    y = relu(plain.norm(at + "bn1", plain.convolution(at + "conv1", y, 1, 0)));
    y = relu(plain.norm(at + "bn2", plain.convolution(at + "conv2", y, stride, 1, options.groups)));
    y = plain.norm(at + "bn3", plain.convolution(at + "conv3", y, 1, 0));
  } else {
    y = relu(plain.norm(at + "bn1", plain.convolution(at + "conv1", y, stride, 1)));
    y = plain.norm(at + "bn2", plain.convolution(at + "conv2", y, 1, 1));
  }
  const bool changes = stride != 1 || y.C != x.C;
  EXPECT_EQ(plain.has(at + "downsample.0.weight"), changes) << at;
  return relu(sum(y, changes ? plain.norm(at + "downsample.1", plain.convolution(at + "downsample.0", x, stride, 0)) : x));
}

Tensor plain_logits(const PlainNetwork& plain, const Maps& images, const ImageNetResNetOptions& options) {
  Maps x = maxima(relu(plain.norm("bn1", plain.convolution("conv1", images, 2, 3))), 3, 2, 1);
  for (int stage = 0; stage < 4; ++stage) {
    for (int block = 0; block < options.blocks[static_cast<std::size_t>(stage)]; ++block)
      x = plain_block(plain, fmt::format("layer{}.{}.", stage + 1, block), x, options, stage > 0 && block == 0 ? 2 : 1);
  }
  return plain.classifier("fc", x);
}

TEST(ImageNetResNet, LogitsAreThoseOfPlainLoops) {
  for (const ImageNetResNetOptions& options : {kBasic, kGroups}) {
    SCOPED_TRACE(fmt::format("bottlenecks {}, groups {}", options.are_bottlenecks, options.groups));
    expect_plain_logits(
        make(options), [&](const PlainNetwork& plain, const Maps& images) { return plain_logits(plain, images, options); }, /*extent=*/33);
  }
}

// The step of a small network on a device is that of another.
void expect_steps_agree(const Placement& placement, const Placement& expected, double tolerance) {
  for (ImageNetResNetOptions options : {kBasic, kGroups}) {
    SCOPED_TRACE(options.are_bottlenecks);
    options.classes = 10;
    expect_same_step(step_outcome(make(options), placement, 64), step_outcome(make(options), expected, 64), tolerance);
  }
}

TEST(ImageNetResNet, CpuAgreesWithTheReference) { expect_steps_agree({Device::cpu, DType::f32}, kExact, 1e-4); }

class ImageNetResNetOnTheCard : public OnTheCardTest {};

TEST_F(ImageNetResNetOnTheCard, AStepIsTheCpus) { expect_steps_agree({Device::cuda, DType::f32}, {Device::cpu, DType::f32}, 1e-4); }

TEST(ImageNetResNet, ParametersAreThoseOfTorchvision) {
  const auto count = [](const char* name) { return find_network(name).make(1000)->parameter_count(); };
  // Of the networks small enough to be made in passing; the others in golden_logits_test.cpp.
  EXPECT_EQ(count("imagenet_resnet18"), 11'689'512);
  EXPECT_EQ(count("imagenet_resnet50"), 25'557'032);
  EXPECT_EQ(count("imagenet_resnext50_32x4d"), 25'028'904);
  // The papers: 1.8, 3.6, 3.8, 7.6, 11.3 and 4.2 billion; torchvision's bottlenecks take a little more, having their stride on the 3x3 convolution.
  for (const auto& [name, billions] : {std::pair{"imagenet_resnet18", 1.81}, {"imagenet_resnet50", 4.09}, {"imagenet_resnext50_32x4d", 4.23}})
    EXPECT_NEAR(count_multiply_adds(find_network(name), 1000) * 1e-9, billions, 0.01) << name;
}

TEST(ImageNetResNet, GoesByNamesThatAreNoCifarNetworks) {
  // 50 and 152 are 6n+2, too.
  EXPECT_EQ(find_network("resnet50").image_extent, 32);
  EXPECT_EQ(find_network("imagenet_resnet50").image_extent, 224);
  const NetworkEntry entry = find_network("imagenet_resnext101_64x4d");
  EXPECT_EQ(entry.family, "imagenet_resnext");
  EXPECT_EQ(entry.description, "ResNeXt-101_64x4d for 224x224 images");
  for (const char* name : {"imagenet_resnet20", "imagenet_resnet", "imagenet_resnet50d", "imagenet_resnext50_32x4", "imagenet_resnext18_32x4d",
                           "imagenet_resnext50_d", "imagenet_resnext50_32x4dd"})
    expect_error([&] { find_network(name); }, fmt::format("[models] there is no model '{}'", name));
}

TEST(ImageNetResNet, WhatCannotBeIsAnError) {
  expect_error([] { imagenet_resnet_options(20); }, "[imagenet resnet] depth 20 is none of 18, 34, 50, 101, 152");
  expect_error([] { ImageNetResNet({.groups = 0}); }, "[imagenet resnet] 0x64d was asked for");
}

}  // namespace
}  // namespace isda
