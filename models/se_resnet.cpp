// SPDX-License-Identifier: Apache-2.0
#include "models/se_resnet.h"

#include "layers/add.h"
#include "layers/relu.h"
#include "models/resnet.h"

namespace isda {

SeBlock::SeBlock(const SeBlockOptions& options)
    : conv1_(child<Conv2d>("conv1", options.in, options.out, Conv2dOptions{.kernel = 3, .stride = options.stride, .padding = 1})),
      bn1_(child<BatchNorm>("bn1", options.out)),
      conv2_(child<Conv2d>("conv2", options.out, options.out, Conv2dOptions{.kernel = 3, .padding = 1})),
      bn2_(child<BatchNorm>("bn2", options.out)),
      se_(child<SqueezeExcitation>("se", options.out, options.reduction)) {
  if (Downsample::is_needed(options.in, options.out, options.stride)) downsample_ = &child<Downsample>("downsample", options.in, options.out, options.stride);
}

// NOTE: the gate comes between the normalisation and the addition, which therefore cannot be one pass.
Tensor SeBlock::operator()(const Tensor& x) const {
  const Tensor shortcut = downsample_ ? (*downsample_)(x) : x;
  const Tensor y = conv2_(bn1_.relu_on_load(conv1_(x)));
  return relu(add(se_(bn2_(y)), shortcut));
}

SeResNet::SeResNet(const SeResNetOptions& options)
    : conv1_(child<Conv2d>("conv1", 3, 16, Conv2dOptions{.kernel = 3, .padding = 1})), bn1_(child<BatchNorm>("bn1", 16)) {
  require(is_cifar_resnet_depth(options.depth), "[se resnet] depth {} is not 6n+2; the CIFAR networks are 20, 32, 44, 56, 110", options.depth);
  std::int64_t in = 16;
  for (int stage = 1; stage <= 3; ++stage) {
    const std::int64_t out = 16 << (stage - 1);
    for (int block = 0; block < (options.depth - 2) / 6; ++block) {
      const SeBlockOptions here{.in = in, .out = out, .stride = stage > 1 && block == 0 ? 2 : 1, .reduction = options.reduction};
      blocks_.push_back(&child<SeBlock>(fmt::format("layer{}.{}", stage, block), here));
      in = out;
    }
  }
  fc_ = &child<Linear>("fc", in, options.classes);
}

Tensor SeResNet::maps(const Tensor& images) const {
  Tensor x = bn1_(conv1_(images), {.relu = true});
  for (const SeBlock* block : blocks_) x = (*block)(x);
  return x;
}

const Family kSeResNet{
    .name = "se_resnet",
    .title = "SE-ResNet",
    .separators = "",
    .is_member = [](const Numbers& numbers) { return is_cifar_resnet_depth(numbers[0]); },
    .build = [](const Numbers& numbers) -> Build {
      return [=](const NetworkOptions& options) { return std::make_unique<SeResNet>(SeResNetOptions{.depth = numbers[0], .classes = options.classes}); };
    },
};

}  // namespace isda
