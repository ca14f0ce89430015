// SPDX-License-Identifier: Apache-2.0
// The shortcut of a residual block that changes the shape: a 1x1 convolution with the block's stride, and its normalisation.
// He et al., Deep Residual Learning for Image Recognition, CVPR 2016, option B. Its parameters are named 0 and 1, as in torchvision's Sequential.
#pragma once
#include "layers/batch_norm.h"
#include "layers/conv2d.h"

namespace isda {

class Downsample : public Module {
 public:
  Downsample(std::int64_t in, std::int64_t out, int stride)
      : conv_(child<Conv2d>("0", in, out, Conv2dOptions{.kernel = 1, .stride = stride})), bn_(child<BatchNorm>("1", out)) {}
  Tensor operator()(const Tensor& x) const { return bn_(conv_(x)); }

  // Whether a block needs one.
  static bool is_needed(std::int64_t in, std::int64_t out, int stride) { return stride != 1 || in != out; }

 private:
  const Conv2d& conv_;
  const BatchNorm& bn_;
};

}  // namespace isda
