// SPDX-License-Identifier: Apache-2.0
#include "models/wide_resnet.h"

#include "layers/add.h"

namespace isda {

namespace {

Tensor step_of(const WideResNetOptions& options) { return options.dropout > 0 ? Tensor::zeros({1}, DType::i32, PlacementScope::current().device) : Tensor(); }

}  // namespace

WideBlock::WideBlock(const WideBlockOptions& options, const Tensor& step)
    : bn1_(child<BatchNorm>("bn1", options.in)),
      conv1_(child<Conv2d>("conv1", options.in, options.out, Conv2dOptions{.kernel = 3, .stride = options.stride, .padding = 1})),
      bn2_(child<BatchNorm>("bn2", options.out)),
      conv2_(child<Conv2d>("conv2", options.out, options.out, Conv2dOptions{.kernel = 3, .padding = 1})) {
  const auto& [in, out, stride, reduction, drop] = options;
  if (stride != 1 || in != out) shortcut_ = &child<Conv2d>("convShortcut", in, out, Conv2dOptions{.kernel = 1, .stride = stride});
  if (drop.probability > 0) dropout_ = &child<Dropout>("dropout", step, drop);
  if (reduction > 0) squeeze_ = &child<SqueezeExcitation>("se", out, reduction);
}

// What follows the first convolution. NOTE: with dropout the activation must be in memory, since dropping comes between it and the second convolution.
Tensor WideBlock::behind_first(const Tensor& y) const {
  const Tensor z = dropout_ ? conv2_((*dropout_)(bn2_(y, {.relu = true}))) : conv2_(bn2_.relu_on_load(y));
  return squeeze_ ? (*squeeze_)(z) : z;
}

Tensor WideBlock::operator()(const Tensor& x) const {
  if (!shortcut_) return add(behind_first(conv1_(bn1_.relu_on_load(x))), x);
  const Tensor activated = bn1_(x, {.relu = true});
  const Tensor shortcut = (*shortcut_)(activated);
  return add(behind_first(conv1_(activated)), shortcut);
}

WideResNet::WideResNet(const WideResNetOptions& options)
    : step_(step_of(options)), conv1_(child<Conv2d>("conv1", 3, 16, Conv2dOptions{.kernel = 3, .padding = 1})) {
  require(is_wide_resnet_depth(options.depth), "[wide resnet] depth {} is not 6n+4; the networks of the paper are 16, 22, 28 and 40 deep", options.depth);
  require(options.width >= 1, "[wide resnet] width {} was asked for, expected 1 or more", options.width);
  std::int64_t in = 16;
  for (int stage = 1; stage <= 3; ++stage) {
    const std::int64_t out = options.width * (16 << (stage - 1));
    for (int block = 0; block < (options.depth - 4) / 6; ++block) {
      const WideBlockOptions here{.in = in,
                                  .out = out,
                                  .stride = stage > 1 && block == 0 ? 2 : 1,
                                  .reduction = options.reduction,
                                  .dropout = {.probability = options.dropout, .seed = options.seed, .layer = static_cast<std::uint32_t>(blocks_.size())}};
      blocks_.push_back(&child<WideBlock>(fmt::format("block{}.layer.{}", stage, block), here, step_));
      in = out;
    }
  }
  bn1_ = &child<BatchNorm>("bn1", in);
  fc_ = &child<Linear>("fc", in, options.classes);
}

Tensor WideResNet::maps(const Tensor& images) const {
  Tensor x = conv1_(images);
  for (const WideBlock* block : blocks_) x = (*block)(x);
  return (*bn1_)(x, {.relu = true});
}

namespace {

Build build_wide(const Numbers& numbers, std::int64_t reduction) {
  return [=](const NetworkOptions& options) {
    return std::make_unique<WideResNet>(WideResNetOptions{
        .depth = numbers[0], .width = numbers[1], .classes = options.classes, .reduction = reduction, .dropout = options.dropout, .seed = options.seed});
  };
}

bool is_wide(const Numbers& numbers) { return is_wide_resnet_depth(numbers[0]); }

}  // namespace

const Family kWideResNet{
    .name = "wide_resnet",
    .title = "Wide-ResNet",
    .separators = "_",
    .is_member = is_wide,
    .build = [](const Numbers& numbers) { return build_wide(numbers, 0); },
    .has_dropout = true,
};

const Family kSeWideResNet{
    .name = "se_wide_resnet",
    .title = "SE-Wide-ResNet",
    .separators = "_",
    .is_member = is_wide,
    .build = [](const Numbers& numbers) { return build_wide(numbers, 16); },
    .has_dropout = true,
};

}  // namespace isda
