// SPDX-License-Identifier: Apache-2.0
#include "models/resnet.h"

namespace isda {

BasicBlock::BasicBlock(std::int64_t in, std::int64_t out, int stride)
    : conv1_(child<Conv2d>("conv1", in, out, Conv2dOptions{.kernel = 3, .stride = stride, .padding = 1})),
      bn1_(child<BatchNorm>("bn1", out)),
      conv2_(child<Conv2d>("conv2", out, out, Conv2dOptions{.kernel = 3, .padding = 1})),
      bn2_(child<BatchNorm>("bn2", out)) {
  if (Downsample::is_needed(in, out, stride)) downsample_ = &child<Downsample>("downsample", in, out, stride);
}

Tensor BasicBlock::operator()(const Tensor& x) const {
  const Tensor shortcut = downsample_ ? (*downsample_)(x) : x;
  const Tensor y = conv2_(bn1_.relu_on_load(conv1_(x)));
  return bn2_(y, {.residual = shortcut, .relu = true});
}

CifarResNet::CifarResNet(int depth, std::int64_t classes)
    : conv1_(child<Conv2d>("conv1", 3, 16, Conv2dOptions{.kernel = 3, .padding = 1})), bn1_(child<BatchNorm>("bn1", 16)) {
  require(is_cifar_resnet_depth(depth), "[resnet] depth {} is not 6n+2; the CIFAR networks are 8, 14, 20, 32, 44, 56, 110, 1202", depth);
  class Stage : public Module {
   public:
    const BasicBlock& add(int position, std::int64_t in, std::int64_t out, int stride) { return child<BasicBlock>(std::to_string(position), in, out, stride); }
  };
  std::int64_t in = 16;
  for (int stage = 1; stage <= 3; ++stage) {
    Stage& layer = child<Stage>("layer" + std::to_string(stage));
    const std::int64_t out = 16 << (stage - 1);
    for (int block = 0; block < (depth - 2) / 6; ++block) {
      blocks_.push_back(&layer.add(block, in, out, stage > 1 && block == 0 ? 2 : 1));
      in = out;
    }
  }
  fc_ = &child<Linear>("fc", in, classes);
}

Tensor CifarResNet::maps(const Tensor& images) const {
  Tensor x = bn1_(conv1_(images), {.relu = true});
  for (const BasicBlock* block : blocks_) x = (*block)(x);
  return x;
}

const Family kResNet{
    .name = "resnet",
    .title = "ResNet",
    .separators = "",
    .is_member = [](const Numbers& numbers) { return is_cifar_resnet_depth(numbers[0]); },
    .build = [](const Numbers& numbers) -> Build {
      return [=](const NetworkOptions& options) { return std::make_unique<CifarResNet>(numbers[0], options.classes); };
    },
};

}  // namespace isda
