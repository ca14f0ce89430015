// SPDX-License-Identifier: Apache-2.0
// Squeeze-and-excitation: each channel of an image is scaled by a gate that sees the means of all its channels.
//   y[n,h,w,c] = x[n,h,w,c] * s[n,c],   s = sigmoid(W2 relu(W1 mean(x)))      Hu et al., Squeeze-and-Excitation Networks, CVPR 2018, equations 2 to 4
// W1 (C/r,C) and W2 (C,C/r) with the reduction r, without biases, as the equations have it. They are 1x1 convolutions of the means, so that the gate is of
// the type of x, bf16 too.   kernels/pooling, kernels/conv2d, kernels/elementwise
#pragma once
#include "layers/conv2d.h"

namespace isda {

class SqueezeExcitation : public Module {
 public:
  SqueezeExcitation(std::int64_t channels, std::int64_t reduction);
  // x (N,H,W,C) with H = W
  Tensor operator()(const Tensor& x) const;

 private:
  const Conv2d& fc1_;
  const Conv2d& fc2_;
};

}  // namespace isda
