// SPDX-License-Identifier: Apache-2.0
#include "models/preact_resnet.h"

#include "layers/add.h"

namespace isda {

namespace {

// A bottleneck is a quarter as wide inside.
std::int64_t width_inside(const PreactBlockOptions& options) { return options.is_bottleneck ? options.out / 4 : options.out; }

Conv2dOptions first_convolution(const PreactBlockOptions& options) {
  if (options.is_bottleneck) return {.kernel = 1};
  return {.kernel = 3, .stride = options.stride, .padding = 1};
}

}  // namespace

PreactBlock::PreactBlock(const PreactBlockOptions& options)
    : options_(options),
      bn1_(child<BatchNorm>("bn1", options.in)),
      conv1_(child<Conv2d>("conv1", options.in, width_inside(options), first_convolution(options))),
      bn2_(child<BatchNorm>("bn2", width_inside(options))),
      conv2_(child<Conv2d>("conv2", width_inside(options), width_inside(options),
                           Conv2dOptions{.kernel = 3, .stride = options.is_bottleneck ? options.stride : 1, .padding = 1})) {
  if (options.is_bottleneck) {
    bn3_ = &child<BatchNorm>("bn3", width_inside(options));
    conv3_ = &child<Conv2d>("conv3", width_inside(options), options.out, Conv2dOptions{.kernel = 1});
  }
  if (options.stride != 1 || options.in != options.out)
    downsample_ = &child<Conv2d>("downsample.0", options.in, options.out, Conv2dOptions{.kernel = 1, .stride = options.stride});
}

Tensor PreactBlock::behind_first(const Tensor& y) const {
  const Tensor z = conv2_(bn2_.relu_on_load(y));
  return bn3_ ? (*conv3_)(bn3_->relu_on_load(z)) : z;
}

Tensor PreactBlock::operator()(const Tensor& x) const {
  if (!downsample_ && !options_.splits_activated) return add(behind_first(conv1_(bn1_.relu_on_load(x))), x);
  const Tensor activated = bn1_(x, {.relu = true});
  const Tensor shortcut = downsample_ ? (*downsample_)(activated) : activated;
  return add(behind_first(conv1_(activated)), shortcut);
}

PreactResNet::PreactResNet(const PreactResNetOptions& options) : conv1_(child<Conv2d>("conv1", 3, 16, Conv2dOptions{.kernel = 3, .padding = 1})) {
  const auto& [depth, is_bottleneck, classes] = options;
  require(is_preact_resnet_depth(depth, is_bottleneck), "[preact resnet] depth {} is not {}", depth,
          is_bottleneck ? "9n+2, as networks of bottlenecks are: 164, 1001" : "6n+2, as networks of basic blocks are: 20, 32, 56, 110");
  const int blocks = (depth - 2) / (is_bottleneck ? 9 : 6);
  std::int64_t in = 16;
  for (int stage = 1; stage <= 3; ++stage) {
    const std::int64_t out = (is_bottleneck ? 64 : 16) << (stage - 1);
    for (int block = 0; block < blocks; ++block) {
      const PreactBlockOptions here{
          .in = in, .out = out, .stride = stage > 1 && block == 0 ? 2 : 1, .is_bottleneck = is_bottleneck, .splits_activated = stage == 1 && block == 0};
      blocks_.push_back(&child<PreactBlock>(fmt::format("layer{}.{}", stage, block), here));
      in = out;
    }
  }
  bn_ = &child<BatchNorm>("bn", in);
  fc_ = &child<Linear>("fc", in, classes);
}

Tensor PreactResNet::maps(const Tensor& images) const {
  Tensor x = conv1_(images);
  for (const PreactBlock* block : blocks_) x = (*block)(x);
  return (*bn_)(x, {.relu = true});
}

namespace {

// NOTE: as in the paper, where 110 are basic blocks, 164 and 1001 bottlenecks.
bool are_bottlenecks(int depth) { return depth >= 164; }

}  // namespace

const Family kPreactResNet{
    .name = "preact_resnet",
    .title = "Pre-activation ResNet",
    .separators = "",
    .is_member = [](const Numbers& numbers) { return is_preact_resnet_depth(numbers[0], are_bottlenecks(numbers[0])); },
    .build = [](const Numbers& numbers) -> Build {
      return [depth = numbers[0]](const NetworkOptions& options) {
        return std::make_unique<PreactResNet>(PreactResNetOptions{.depth = depth, .is_bottleneck = are_bottlenecks(depth), .classes = options.classes});
      };
    },
};

}  // namespace isda
