// SPDX-License-Identifier: Apache-2.0
#include "models/imagenet_resnet.h"

#include <algorithm>

#include "layers/pooling.h"

namespace isda {

namespace {

struct Depth {
  int depth;
  std::array<int, 4> blocks;
  bool are_bottlenecks;
};

constexpr Depth kDepths[] = {
    {18, {2, 2, 2, 2}, false}, {34, {3, 4, 6, 3}, false}, {50, {3, 4, 6, 3}, true}, {101, {3, 4, 23, 3}, true}, {152, {3, 8, 36, 3}, true},
};

const Depth* find_depth(int depth) {
  const auto* found = std::find_if(std::begin(kDepths), std::end(kDepths), [&](const Depth& entry) { return entry.depth == depth; });
  return found == std::end(kDepths) ? nullptr : found;
}

}  // namespace

bool is_imagenet_resnet_depth(int depth) { return find_depth(depth) != nullptr; }

ImageNetResNetOptions imagenet_resnet_options(int depth) {
  const Depth* found = find_depth(depth);
  require(found != nullptr, "[imagenet resnet] depth {} is none of 18, 34, 50, 101, 152", depth);
  return {.blocks = found->blocks, .are_bottlenecks = found->are_bottlenecks};
}

ImageNetResNet::ImageNetResNet(const ImageNetResNetOptions& options)
    : conv1_(child<Conv2d>("conv1", 3, options.first, Conv2dOptions{.kernel = 7, .stride = 2, .padding = 3})), bn1_(child<BatchNorm>("bn1", options.first)) {
  const auto& [blocks, are_bottlenecks, groups, width, first, classes] = options;
  require(groups >= 1 && width >= 1, "[imagenet resnet] {}x{}d was asked for, expected 1 group or more of 1 channel or more", groups, width);
  std::int64_t in = first;
  for (int stage = 0; stage < 4; ++stage) {
    const std::int64_t scale = 1 << stage, out = first * scale * (are_bottlenecks ? 4 : 1);
    for (int block = 0; block < blocks[static_cast<std::size_t>(stage)]; ++block) {
      const std::string name = fmt::format("layer{}.{}", stage + 1, block);
      const int stride = stage > 0 && block == 0 ? 2 : 1;
      if (are_bottlenecks)
        bottlenecks_.push_back(
            &child<ResNeXtBlock>(name, ResNeXtBlockOptions{.in = in, .inside = groups * width * scale, .out = out, .stride = stride, .groups = groups}));
      else
        blocks_.push_back(&child<BasicBlock>(name, in, out, stride));
      in = out;
    }
  }
  fc_ = &child<Linear>("fc", in, classes);
}

Tensor ImageNetResNet::maps(const Tensor& images) const {
  Tensor x = max_pool2d(bn1_(conv1_(images), {.relu = true}), {.kernel = 3, .stride = 2, .padding = 1});
  for (const BasicBlock* block : blocks_) x = (*block)(x);
  for (const ResNeXtBlock* block : bottlenecks_) x = (*block)(x);
  return x;
}

const Family kImageNetResNet{
    .name = "imagenet_resnet",
    .title = "ResNet",
    .separators = "",
    .image_extent = 224,
    .classes = 1000,
    .is_member = [](const Numbers& numbers) { return is_imagenet_resnet_depth(numbers[0]); },
    .build = [](const Numbers& numbers) -> Build {
      return [=](const NetworkOptions& options) {
        ImageNetResNetOptions here = imagenet_resnet_options(numbers[0]);
        here.classes = options.classes;
        return std::make_unique<ImageNetResNet>(here);
      };
    },
};

const Family kImageNetResNeXt{
    .name = "imagenet_resnext",
    .title = "ResNeXt",
    .separators = "_x",
    .ending = "d",
    .image_extent = 224,
    .classes = 1000,
    // NOTE: a basic block has no convolution that could be in groups without changing what it is.
    .is_member = [](const Numbers& numbers) { return is_imagenet_resnet_depth(numbers[0]) && imagenet_resnet_options(numbers[0]).are_bottlenecks; },
    .build = [](const Numbers& numbers) -> Build {
      return [=](const NetworkOptions& options) {
        ImageNetResNetOptions here = imagenet_resnet_options(numbers[0]);
        here.groups = numbers[1];
        here.width = numbers[2];
        here.classes = options.classes;
        return std::make_unique<ImageNetResNet>(here);
      };
    },
};

}  // namespace isda
