// SPDX-License-Identifier: Apache-2.0
// The residual networks for 32x32 images: depth 6n+2 in three stages of n basic blocks with 16, 32 and 64 channels.
// He et al., Deep Residual Learning for Image Recognition, CVPR 2016, section 4.2; the shortcut of a stage's first block is a 1x1
// convolution of stride 2 with batch normalisation (option B). Feature width A = 64.
#pragma once
#include <vector>

#include "models/downsample.h"
#include "models/family.h"

namespace isda {

// y = relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)), two 3x3 convolutions.
class BasicBlock : public Module {
 public:
  BasicBlock(std::int64_t in, std::int64_t out, int stride);
  Tensor operator()(const Tensor& x) const;

 private:
  const Conv2d& conv1_;
  const BatchNorm& bn1_;
  const Conv2d& conv2_;
  const BatchNorm& bn2_;
  const Downsample* downsample_ = nullptr;  // null where the shortcut is the identity
};

// 6n+2 with n >= 1.
constexpr bool is_cifar_resnet_depth(int depth) { return depth >= 8 && (depth - 2) % 6 == 0; }

class CifarResNet : public Network {
 public:
  // depth = 6n+2: 8, 14, 20, 32, 44, 56, 110, 1202, ...
  CifarResNet(int depth, std::int64_t classes);
  Tensor maps(const Tensor& images) const override;
  const Linear& classifier() const override { return *fc_; }

 private:
  const Conv2d& conv1_;
  const BatchNorm& bn1_;
  std::vector<const BasicBlock*> blocks_;
  const Linear* fc_ = nullptr;
};

extern const Family kResNet;

}  // namespace isda
