// SPDX-License-Identifier: Apache-2.0
// DenseNet-BC: a layer sees the channels of all layers before it in its block, and adds `growth` of its own.
// Huang et al., Densely Connected Convolutional Networks, CVPR 2017, section 3; table 1 for 224x224 images, table 2 for 32x32.
//
//   layer        [x, conv3x3(relu(norm(conv1x1(relu(norm(x))))))]; the 1x1 convolution makes bottleneck * growth channels
//   transition   between blocks: 1x1 convolution of relu(norm(x)) to compression * channels, rounded down; means of 2x2 pixels
//   32x32        3x3 convolution to 2 growth channels; three blocks of (depth - 4) / 6 layers         DenseNet-BC-100-12: A = 342
//   224x224      7x7 convolution of stride 2, normalisation, ReLU, 3x3 maximum of stride 2; four blocks         DenseNet-121: A = 1024
//   end          relu(norm(x)), the mean of each map, one linear layer
// Parameters are named as torchvision names them, features.denseblock1.denselayer1.norm1, for both kinds; the last normalisation is norm5 also where the blocks
// are three.
#pragma once
#include <vector>

#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "models/family.h"

namespace isda {

struct DenseNetOptions {
  std::vector<int> blocks = {16, 16, 16};  // layers of each
  std::int64_t growth = 12;                // channels that a layer adds
  std::int64_t first = 24;                 // channels before the first block
  std::int64_t bottleneck = 4;
  double compression = 0.5;
  bool is_for_large_images = false;  // begins as for 224x224
  std::int64_t classes = 10;
};

// H(x), which the block sets beside x.
class DenseLayer : public Module {
 public:
  DenseLayer(std::int64_t in, std::int64_t inside, std::int64_t growth);
  Tensor operator()(const Tensor& x) const { return conv2_(norm2_.relu_on_load(conv1_(norm1_.relu_on_load(x)))); }

 private:
  const BatchNorm& norm1_;
  const Conv2d& conv1_;
  const BatchNorm& norm2_;
  const Conv2d& conv2_;
};

// Fewer channels, and half the extent.
class Transition : public Module {
 public:
  Transition(std::int64_t in, std::int64_t out);
  Tensor operator()(const Tensor& x) const;

 private:
  const BatchNorm& norm_;
  const Conv2d& conv_;
};

// 6n+4 with n >= 1.
constexpr bool is_cifar_densenet_depth(int depth) { return depth >= 10 && (depth - 4) % 6 == 0; }
DenseNetOptions cifar_densenet_options(int depth, std::int64_t growth);
// 121, 161, 169, 201 and 265.
bool is_imagenet_densenet_depth(int depth);
DenseNetOptions imagenet_densenet_options(int depth);

class DenseNet : public Network {
 public:
  explicit DenseNet(const DenseNetOptions& options);
  Tensor maps(const Tensor& images) const override;
  const Linear& classifier() const override { return *classifier_; }

 private:
  struct Block {
    std::vector<const DenseLayer*> layers;
    const Transition* transition = nullptr;  // null behind the last
  };

  const Conv2d* conv0_ = nullptr;
  const BatchNorm* norm0_ = nullptr;  // null for small images
  std::vector<Block> blocks_;
  const BatchNorm* norm5_ = nullptr;
  const Linear* classifier_ = nullptr;
};

extern const Family kDenseNetBc, kImageNetDenseNet;

}  // namespace isda
