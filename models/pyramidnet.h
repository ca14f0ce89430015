// SPDX-License-Identifier: Apache-2.0
// PyramidNets for 32x32 images: the channels grow a little in each of the L blocks of three stages, from 16 by alpha in all.
// Han et al., Deep Pyramidal Residual Networks, CVPR 2017: block k is floor(16 + alpha k / L) wide (equation 3).
//   basic blocks     depth 6n+2     two 3x3 convolutions
//   bottlenecks      depth 9n+2     1x1, 3x3 and 1x1; the last to four times the width
// Normalisation stands before each convolution and behind the last; there is no ReLU before the first (figure 6d). A shortcut is the mean of 2x2 pixels where
// the extent halves, and has zeros for the channels it lacks: no parameters. Feature width A = 16 + alpha, four times that of bottlenecks.
//
// With ShakeDrop (Yamada et al., ShakeDrop Regularization for Deep Residual Learning, 2019) what a block adds to its shortcut is scaled by a random factor for
// each image, and its gradient by another (kernels/shake/shake.h): where the draw says that the block does not survive, which the last does with probability
// `survival`, and the others more often, falling linearly from 1: 1 - k / L (1 - survival).
#pragma once
#include <vector>

#include "layers/batch_norm.h"
#include "layers/conv2d.h"
#include "layers/shake.h"
#include "models/family.h"

namespace isda {

struct PyramidBlockOptions {
  std::int64_t in = 16, width = 16;
  int stride = 1;
  bool is_bottleneck = false;
  ShakeOptions shake = {};

  std::int64_t out() const { return is_bottleneck ? 4 * width : width; }
};

// y = shortcut(x) + bn3(conv2(relu(bn2(conv1(bn1(x))))));  bottlenecks: bn4(conv3(relu(bn3(conv2(relu(bn2(conv1(bn1(x)))))))))
class PyramidBlock : public Module {
 public:
  // step: as Shake takes it; not looked at where the block survives in any case.
  PyramidBlock(const PyramidBlockOptions& options, const Tensor& step);
  Tensor operator()(const Tensor& x) const;

 private:
  const int stride_;
  const BatchNorm& bn1_;
  const Conv2d& conv1_;
  const BatchNorm& bn2_;
  const Conv2d& conv2_;
  const BatchNorm& bn3_;
  const Conv2d* conv3_ = nullptr;  // bottlenecks have a third convolution
  const BatchNorm* bn4_ = nullptr;
  const Shake& shake_;
};

struct PyramidNetOptions {
  int depth = 110;
  std::int64_t alpha = 270;  // by how much the channels grow
  bool is_bottleneck = false;
  std::int64_t classes = 10;
  double survival = 1;     // of the last block; 1: no ShakeDrop. The paper's is 0.5
  std::uint64_t seed = 0;  // of what is drawn
};

// 6n+2, or 9n+2 of bottlenecks, with n >= 1.
constexpr bool is_pyramidnet_depth(int depth, bool is_bottleneck) {
  const int of_block = is_bottleneck ? 9 : 6;
  return depth >= of_block + 2 && (depth - 2) % of_block == 0;
}

class PyramidNet : public Network {
 public:
  explicit PyramidNet(const PyramidNetOptions& options);
  Tensor maps(const Tensor& images) const override;
  const Linear& classifier() const override { return *fc_; }
  Tensor step() const override { return step_; }

 private:
  const Tensor step_;  // undefined where nothing is drawn
  const Conv2d& conv1_;
  const BatchNorm& bn1_;
  std::vector<const PyramidBlock*> blocks_;
  const BatchNorm* bn_final_ = nullptr;
  const Linear* fc_ = nullptr;
};

extern const Family kPyramidNet, kShakeDropPyramidNet;

}  // namespace isda
