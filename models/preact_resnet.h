// SPDX-License-Identifier: Apache-2.0
// Residual networks of pre-activation for 32x32 images: normalisation and ReLU stand before each convolution, and the shortcut is left as it is.
// He et al., Identity Mappings in Deep Residual Networks, ECCV 2016. Three stages, the second and third of half the extent.
//   basic blocks     depth 6n+2, 16, 32 and 64 channels, A = 64                 two 3x3 convolutions
//   bottlenecks      depth 9n+2, 64, 128 and 256 channels, A = 256              1x1, 3x3 and 1x1; the first two of a quarter of the channels
// As in the paper the very first block splits after its activation, and so does a block whose shortcut changes the shape, by a 1x1 convolution.
#pragma once
#include <vector>

#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "models/family.h"

namespace isda {

struct PreactBlockOptions {
  std::int64_t in = 16, out = 16;
  int stride = 1;
  bool is_bottleneck = false;
  bool splits_activated = false;  // the shortcut sees relu(bn1(x)) in place of x, as it does in any case where it changes the shape
};

// y = F(relu(bn1(x))) + shortcut
class PreactBlock : public Module {
 public:
  explicit PreactBlock(const PreactBlockOptions& options);
  Tensor operator()(const Tensor& x) const;

 private:
  Tensor behind_first(const Tensor& y) const;

  const PreactBlockOptions options_;
  const BatchNorm& bn1_;
  const Conv2d& conv1_;
  const BatchNorm& bn2_;
  const Conv2d& conv2_;
  const BatchNorm* bn3_ = nullptr;  // bottlenecks have a third convolution
  const Conv2d* conv3_ = nullptr;
  const Conv2d* downsample_ = nullptr;  // null where the shortcut keeps the shape
};

struct PreactResNetOptions {
  int depth = 110;
  bool is_bottleneck = false;
  std::int64_t classes = 10;
};

// 6n+2, or 9n+2 of bottlenecks, with n >= 1.
constexpr bool is_preact_resnet_depth(int depth, bool is_bottleneck) {
  const int of_block = is_bottleneck ? 9 : 6;
  return depth >= of_block + 2 && (depth - 2) % of_block == 0;
}

class PreactResNet : public Network {
 public:
  explicit PreactResNet(const PreactResNetOptions& options);
  Tensor maps(const Tensor& images) const override;
  const Linear& classifier() const override { return *fc_; }

 private:
  const Conv2d& conv1_;
  std::vector<const PreactBlock*> blocks_;
  const BatchNorm* bn_ = nullptr;
  const Linear* fc_ = nullptr;
};

extern const Family kPreactResNet;

}  // namespace isda
