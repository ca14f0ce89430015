// SPDX-License-Identifier: Apache-2.0
// ResNeXt for 32x32 images: depth 9n+2 in three stages of n bottlenecks whose 3x3 convolution is in groups.
// Xie et al., Aggregated Residual Transformations for Deep Neural Networks, CVPR 2017, section 5.2: a 3x3 convolution to 64 channels; stages of 256, 512
// and 1024 channels; G groups (the cardinality) of D channels each in the first stage, 2D and 4D in the others, written GxDd: 8x64d, 16x64d. The shortcut of
// a stage's first block is a 1x1 convolution with batch normalisation. Feature width A = 1024.
#pragma once
#include <vector>

#include "models/downsample.h"
#include "models/family.h"

namespace isda {

struct ResNeXtBlockOptions {
  std::int64_t in = 64, inside = 512, out = 256;
  int stride = 1;
  int groups = 8;
};

// y = relu(bn3(conv3(relu(bn2(conv2(relu(bn1(conv1(x)))))))) + shortcut(x)): 1x1, 3x3 in groups with the stride, 1x1.
class ResNeXtBlock : public Module {
 public:
  explicit ResNeXtBlock(const ResNeXtBlockOptions& options);
  Tensor operator()(const Tensor& x) const;

 private:
  const Conv2d& conv1_;
  const BatchNorm& bn1_;
  const Conv2d& conv2_;
  const BatchNorm& bn2_;
  const Conv2d& conv3_;
  const BatchNorm& bn3_;
  const Downsample* downsample_ = nullptr;  // null where the shortcut is the identity
};

struct ResNeXtOptions {
  int depth = 29;
  int cardinality = 8;
  std::int64_t width = 64;  // channels of a group in the first stage
  std::int64_t classes = 10;
};

// 9n+2 with n >= 1.
constexpr bool is_resnext_depth(int depth) { return depth >= 11 && (depth - 2) % 9 == 0; }

class ResNeXt : public Network {
 public:
  explicit ResNeXt(const ResNeXtOptions& options);
  Tensor maps(const Tensor& images) const override;
  const Linear& classifier() const override { return *fc_; }

 private:
  const Conv2d& conv1_;
  const BatchNorm& bn1_;
  std::vector<const ResNeXtBlock*> blocks_;
  const Linear* fc_ = nullptr;
};

extern const Family kResNeXt;

}  // namespace isda
