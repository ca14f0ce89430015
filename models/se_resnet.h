// SPDX-License-Identifier: Apache-2.0
// The residual networks for 32x32 images (models/resnet.h) with squeeze-and-excitation at the end of each block, before the addition.
// Hu et al., Squeeze-and-Excitation Networks, CVPR 2018: reduction 16. Depth 6n+2, feature width A = 64.
#pragma once
#include <vector>

#include "layers/squeeze_excitation.h"
#include "models/downsample.h"
#include "models/family.h"

namespace isda {

struct SeBlockOptions {
  std::int64_t in = 16, out = 16;
  int stride = 1;
  std::int64_t reduction = 16;
};

// y = relu(se(bn2(conv2(relu(bn1(conv1(x)))))) + shortcut(x))
class SeBlock : public Module {
 public:
  explicit SeBlock(const SeBlockOptions& options);
  Tensor operator()(const Tensor& x) const;

 private:
  const Conv2d& conv1_;
  const BatchNorm& bn1_;
  const Conv2d& conv2_;
  const BatchNorm& bn2_;
  const SqueezeExcitation& se_;
  const Downsample* downsample_ = nullptr;  // null where the shortcut is the identity
};

struct SeResNetOptions {
  int depth = 110;
  std::int64_t reduction = 16;
  std::int64_t classes = 10;
};

class SeResNet : public Network {
 public:
  explicit SeResNet(const SeResNetOptions& options);
  Tensor maps(const Tensor& images) const override;
  const Linear& classifier() const override { return *fc_; }

 private:
  const Conv2d& conv1_;
  const BatchNorm& bn1_;
  std::vector<const SeBlock*> blocks_;
  const Linear* fc_ = nullptr;
};

extern const Family kSeResNet;

}  // namespace isda
