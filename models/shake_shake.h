// SPDX-License-Identifier: Apache-2.0
// Shake-Shake networks for 32x32 images: depth 6n+2 in three stages of n blocks of two branches, W, 2W and 4W channels; written 26 2xWd.
// Gastaldi, Shake-Shake regularization, 2017 (arXiv 1705.07485). In training the branches are added in a random proportion, drawn for each image; another is
// drawn for their gradients ("S-S-I", the paper's choice on CIFAR-10: kernels/shake/shake.h); in evaluation they are halved. Feature width A = 4W.
//
// A shortcut that changes the shape, also that of the first stage from 16 channels, is two flows of the activated input (kernels/two_flows/two_flows.h), each
// through a 1x1 convolution to half of the channels, concatenated and normalised. The two convolutions are one in two groups.
#pragma once
#include <vector>

#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "layers/shake.h"
#include "models/family.h"

namespace isda {

struct ShakeBlockOptions {
  std::int64_t in = 16, out = 16;
  int stride = 1;
  ShakeOptions shake = {};
};

// y = bn2(conv2(relu(bn1(conv1(relu(x)))))), two 3x3 convolutions. It is given relu(x), which both branches share.
class ShakeBranch : public Module {
 public:
  ShakeBranch(std::int64_t in, std::int64_t out, int stride);
  Tensor operator()(const Tensor& activated) const { return bn2_(conv2_(bn1_.relu_on_load(conv1_(activated)))); }

 private:
  const Conv2d& conv1_;
  const BatchNorm& bn1_;
  const Conv2d& conv2_;
  const BatchNorm& bn2_;
};

class TwoFlowShortcut : public Module {
 public:
  TwoFlowShortcut(std::int64_t in, std::int64_t out, int stride);
  Tensor operator()(const Tensor& activated) const;

 private:
  const int stride_;
  const Conv2d& conv_;
  const BatchNorm& bn_;
};

// y = shortcut(x) + alpha branch1(x) + (1 - alpha) branch2(x)
class ShakeBlock : public Module {
 public:
  // step: as Shake takes it
  ShakeBlock(const ShakeBlockOptions& options, const Tensor& step);
  Tensor operator()(const Tensor& x) const;

 private:
  const ShakeBranch& branch1_;
  const ShakeBranch& branch2_;
  const TwoFlowShortcut* shortcut_ = nullptr;  // null where the shortcut is the identity
  const Shake& shake_;
};

struct ShakeShakeOptions {
  int depth = 26;
  std::int64_t width = 32;  // W
  std::int64_t classes = 10;
  std::uint64_t seed = 0;  // of what is drawn
};

// 6n+2 with n >= 1.
constexpr bool is_shake_shake_depth(int depth) { return depth >= 8 && (depth - 2) % 6 == 0; }

class ShakeShake : public Network {
 public:
  explicit ShakeShake(const ShakeShakeOptions& options);
  Tensor maps(const Tensor& images) const override;
  const Linear& classifier() const override { return *fc_; }
  Tensor step() const override { return step_; }

 private:
  const Tensor step_;
  const Conv2d& conv1_;
  const BatchNorm& bn1_;
  std::vector<const ShakeBlock*> blocks_;
  const Linear* fc_ = nullptr;
};

extern const Family kShakeShake;

}  // namespace isda
