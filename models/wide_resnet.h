// SPDX-License-Identifier: Apache-2.0
// Wide residual networks for 32x32 images: depth 6n+4 in three stages of n pre-activation blocks with 16k, 32k and 64k channels.
// Zagoruyko and Komodakis, Wide Residual Networks, BMVC 2016. Dropout between the two convolutions of a block (section 2.4); a shortcut that changes the
// shape is a 1x1 convolution of the activated input, without normalisation. Feature width A = 64k.
// With a reduction, each block ends in squeeze-and-excitation (Hu et al., CVPR 2018) before the addition: SE-Wide-ResNet.
#pragma once
#include <vector>

#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "layers/dropout.h"
#include "layers/squeeze_excitation.h"
#include "models/family.h"

namespace isda {

struct WideBlockOptions {
  std::int64_t in = 16, out = 16;
  int stride = 1;
  std::int64_t reduction = 0;  // of squeeze-and-excitation; 0 = none
  DropoutOptions dropout = {.probability = 0};
};

// y = conv2(drop(relu(bn2(conv1(a))))) + x, where a = relu(bn1(x)); a shortcut that changes the shape sees a in place of x.
class WideBlock : public Module {
 public:
  // step: as Dropout takes it; not looked at where nothing is dropped.
  WideBlock(const WideBlockOptions& options, const Tensor& step);
  Tensor operator()(const Tensor& x) const;

 private:
  Tensor behind_first(const Tensor& y) const;

  const BatchNorm& bn1_;
  const Conv2d& conv1_;
  const BatchNorm& bn2_;
  const Conv2d& conv2_;
  const Conv2d* shortcut_ = nullptr;            // null where the shortcut is the identity
  const Dropout* dropout_ = nullptr;            // null where nothing is dropped
  const SqueezeExcitation* squeeze_ = nullptr;  // null where there is none
};

struct WideResNetOptions {
  int depth = 28;
  std::int64_t width = 10;  // k
  std::int64_t classes = 10;
  std::int64_t reduction = 0;  // of squeeze-and-excitation; 0 = none
  double dropout = 0;          // probability of dropping
  std::uint64_t seed = 0;      // of what is dropped
};

// 6n+4 with n >= 1.
constexpr bool is_wide_resnet_depth(int depth) { return depth >= 10 && (depth - 4) % 6 == 0; }

class WideResNet : public Network {
 public:
  explicit WideResNet(const WideResNetOptions& options);
  Tensor maps(const Tensor& images) const override;
  const Linear& classifier() const override { return *fc_; }
  Tensor step() const override { return step_; }

 private:
  const Tensor step_;  // undefined where nothing is dropped
  const Conv2d& conv1_;
  std::vector<const WideBlock*> blocks_;
  const BatchNorm* bn1_ = nullptr;
  const Linear* fc_ = nullptr;
};

extern const Family kWideResNet, kSeWideResNet;

}  // namespace isda
