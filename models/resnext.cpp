// SPDX-License-Identifier: Apache-2.0
#include "models/resnext.h"

namespace isda {

ResNeXtBlock::ResNeXtBlock(const ResNeXtBlockOptions& options)
    : conv1_(child<Conv2d>("conv1", options.in, options.inside, Conv2dOptions{.kernel = 1})),
      bn1_(child<BatchNorm>("bn1", options.inside)),
      conv2_(
          child<Conv2d>("conv2", options.inside, options.inside, Conv2dOptions{.kernel = 3, .stride = options.stride, .padding = 1, .groups = options.groups})),
      bn2_(child<BatchNorm>("bn2", options.inside)),
      conv3_(child<Conv2d>("conv3", options.inside, options.out, Conv2dOptions{.kernel = 1})),
      bn3_(child<BatchNorm>("bn3", options.out)) {
  if (Downsample::is_needed(options.in, options.out, options.stride)) downsample_ = &child<Downsample>("downsample", options.in, options.out, options.stride);
}

Tensor ResNeXtBlock::operator()(const Tensor& x) const {
  const Tensor shortcut = downsample_ ? (*downsample_)(x) : x;
  const Tensor y = conv2_(bn1_.relu_on_load(conv1_(x)));
  const Tensor z = conv3_(bn2_.relu_on_load(y));
  return bn3_(z, {.residual = shortcut, .relu = true});
}

ResNeXt::ResNeXt(const ResNeXtOptions& options)
    : conv1_(child<Conv2d>("conv1", 3, 64, Conv2dOptions{.kernel = 3, .padding = 1})), bn1_(child<BatchNorm>("bn1", 64)) {
  const auto& [depth, cardinality, width, classes] = options;
  require(is_resnext_depth(depth), "[resnext] depth {} is not 9n+2; the networks of the paper are 29 deep", depth);
  require(cardinality >= 1 && width >= 1, "[resnext] {}x{}d was asked for, expected 1 group or more of 1 channel or more", cardinality, width);
  std::int64_t in = 64;
  for (int stage = 1; stage <= 3; ++stage) {
    const std::int64_t scale = 1 << (stage - 1), out = 256 * scale;
    for (int block = 0; block < (depth - 2) / 9; ++block) {
      const ResNeXtBlockOptions here{
          .in = in, .inside = cardinality * width * scale, .out = out, .stride = stage > 1 && block == 0 ? 2 : 1, .groups = cardinality};
      blocks_.push_back(&child<ResNeXtBlock>(fmt::format("layer{}.{}", stage, block), here));
      in = out;
    }
  }
  fc_ = &child<Linear>("fc", in, classes);
}

Tensor ResNeXt::maps(const Tensor& images) const {
  Tensor x = bn1_(conv1_(images), {.relu = true});
  for (const ResNeXtBlock* block : blocks_) x = (*block)(x);
  return x;
}

const Family kResNeXt{
    .name = "resnext",
    .title = "ResNeXt",
    .separators = "_x",
    .is_member = [](const Numbers& numbers) { return is_resnext_depth(numbers[0]); },
    .build = [](const Numbers& numbers) -> Build {
      return [=](const NetworkOptions& options) {
        return std::make_unique<ResNeXt>(ResNeXtOptions{.depth = numbers[0], .cardinality = numbers[1], .width = numbers[2], .classes = options.classes});
      };
    },
};

}  // namespace isda
