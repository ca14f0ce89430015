// SPDX-License-Identifier: Apache-2.0
// The residual networks for 224x224 images, and with their 3x3 convolutions in groups ResNeXt.
//   He et al., Deep Residual Learning for Image Recognition, CVPR 2016, table 1
//   Xie et al., Aggregated Residual Transformations for Deep Neural Networks, CVPR 2017, table 1
//
//   stem      7x7 convolution of stride 2 to 64 channels, normalisation, ReLU, 3x3 maximum of stride 2
//   stages    four, of 64, 128, 256 and 512 channels in the first, each but the first of half the extent; of basic blocks, or of bottlenecks that end in
//             four times as many channels
//   end       the mean of each map, one linear layer; A = 512, or 2048 of bottlenecks
// A bottleneck has its stride on the 3x3 convolution, and parameters are named as torchvision names them, so that its weights can be read: layer1.0.conv1.
#pragma once
#include <array>
#include <vector>

#include "models/family.h"
#include "models/resnet.h"
#include "models/resnext.h"

namespace isda {

struct ImageNetResNetOptions {
  std::array<int, 4> blocks = {3, 4, 6, 3};  // of each stage
  bool are_bottlenecks = true;
  int groups = 1;
  std::int64_t width = 64;  // channels of a group in the first stage, inside a bottleneck
  std::int64_t first = 64;  // channels of the stem
  std::int64_t classes = 1000;
};

// The networks of the papers by their depth: 18 and 34 of basic blocks, 50, 101 and 152 of bottlenecks.
bool is_imagenet_resnet_depth(int depth);
// Throws Error for another depth.
ImageNetResNetOptions imagenet_resnet_options(int depth);

class ImageNetResNet : public Network {
 public:
  explicit ImageNetResNet(const ImageNetResNetOptions& options);
  Tensor maps(const Tensor& images) const override;
  const Linear& classifier() const override { return *fc_; }

 private:
  const Conv2d& conv1_;
  const BatchNorm& bn1_;
  std::vector<const BasicBlock*> blocks_;  // one of the two is empty
  std::vector<const ResNeXtBlock*> bottlenecks_;
  const Linear* fc_ = nullptr;
};

extern const Family kImageNetResNet, kImageNetResNeXt;

}  // namespace isda
