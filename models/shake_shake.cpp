// SPDX-License-Identifier: Apache-2.0
#include "models/shake_shake.h"

#include "layers/relu.h"
#include "layers/two_flows.h"

namespace isda {

ShakeBranch::ShakeBranch(std::int64_t in, std::int64_t out, int stride)
    : conv1_(child<Conv2d>("conv1", in, out, Conv2dOptions{.kernel = 3, .stride = stride, .padding = 1})),
      bn1_(child<BatchNorm>("bn1", out)),
      conv2_(child<Conv2d>("conv2", out, out, Conv2dOptions{.kernel = 3, .padding = 1})),
      bn2_(child<BatchNorm>("bn2", out)) {}

TwoFlowShortcut::TwoFlowShortcut(std::int64_t in, std::int64_t out, int stride)
    : stride_(stride), conv_(child<Conv2d>("conv", 2 * in, out, Conv2dOptions{.kernel = 1, .groups = 2})), bn_(child<BatchNorm>("bn", out)) {}

Tensor TwoFlowShortcut::operator()(const Tensor& activated) const { return bn_(conv_(two_flows(activated, stride_))); }

ShakeBlock::ShakeBlock(const ShakeBlockOptions& options, const Tensor& step)
    : branch1_(child<ShakeBranch>("branch1", options.in, options.out, options.stride)),
      branch2_(child<ShakeBranch>("branch2", options.in, options.out, options.stride)),
      shake_(child<Shake>("shake", step, options.shake)) {
  const auto& [in, out, stride, rule] = options;
  if (stride != 1 || in != out) shortcut_ = &child<TwoFlowShortcut>("shortcut", in, out, stride);
}

Tensor ShakeBlock::operator()(const Tensor& x) const {
  const Tensor activated = relu(x);
  const Tensor shortcut = shortcut_ ? (*shortcut_)(activated) : x;
  return shake_(shortcut, branch1_(activated), branch2_(activated));
}

ShakeShake::ShakeShake(const ShakeShakeOptions& options)
    : step_(Tensor::zeros({1}, DType::i32, PlacementScope::current().device)),
      conv1_(child<Conv2d>("conv1", 3, 16, Conv2dOptions{.kernel = 3, .padding = 1})),
      bn1_(child<BatchNorm>("bn1", 16)) {
  const auto& [depth, width, classes, seed] = options;
  require(is_shake_shake_depth(depth), "[shake shake] depth {} is not 6n+2; the networks of the paper are 26 deep", depth);
  require(width >= 2 && width % 2 == 0, "[shake shake] width {} was asked for, expected an even number, 2 or more: a shortcut has two halves", width);
  std::int64_t in = 16;
  for (int stage = 1; stage <= 3; ++stage) {
    const std::int64_t out = width << (stage - 1);
    for (int block = 0; block < (depth - 2) / 6; ++block) {
      const ShakeBlockOptions here{
          .in = in, .out = out, .stride = stage > 1 && block == 0 ? 2 : 1, .shake = {.seed = seed, .layer = static_cast<std::uint32_t>(blocks_.size())}};
      blocks_.push_back(&child<ShakeBlock>(fmt::format("layer{}.{}", stage, block), here, step_));
      in = out;
    }
  }
  fc_ = &child<Linear>("fc", in, classes);
}

Tensor ShakeShake::maps(const Tensor& images) const {
  Tensor x = bn1_(conv1_(images));
  for (const ShakeBlock* block : blocks_) x = (*block)(x);
  return relu(x);
}

const Family kShakeShake{
    .name = "shake_shake",
    .title = "Shake-Shake",
    .separators = "_x",
    // NOTE: written 26 2x32d: of two branches, always.
    .is_member = [](const Numbers& numbers) { return is_shake_shake_depth(numbers[0]) && numbers[1] == 2 && numbers[2] % 2 == 0; },
    .build = [](const Numbers& numbers) -> Build {
      return [depth = numbers[0], width = numbers[2]](const NetworkOptions& options) {
        return std::make_unique<ShakeShake>(ShakeShakeOptions{.depth = depth, .width = width, .classes = options.classes, .seed = options.seed});
      };
    },
};

}  // namespace isda
