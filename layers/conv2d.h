// SPDX-License-Identifier: Apache-2.0
// Convolution without bias: x (N,H,W,C), weight (K,R,S,C/groups) -> y (N,P,Q,K).   kernels/conv2d/conv2d.h
#pragma once
#include "core/module.h"
#include "layers/batch_norm.h"

namespace isda {

struct Conv2dOptions {
  int kernel = 3;
  int stride = 1;
  int padding = 0;
  int groups = 1;
};

// The rows and columns of the kernel come from the weight; options.kernel is not looked at.
// NOTE: while gradients are recorded, the mean and variance of y's channels are computed on the way out and left with it for a batch
// normalisation to find.
Tensor conv2d(const Tensor& x, const Tensor& weight, const Conv2dOptions& options);

// The convolution of relu(batch_norm(x)), which is computed as x is loaded; zero padding is applied after it.
Tensor conv2d(const Normalized& x, const Tensor& weight, const Conv2dOptions& options);

// Starts from Normal(0, sqrt(2 / (kernel * kernel * out))), He et al. 2015, counting outputs.
class Conv2d : public Module {
 public:
  Conv2d(std::int64_t in, std::int64_t out, const Conv2dOptions& options);
  Tensor operator()(const Tensor& x) const { return conv2d(x, weight, options_); }
  Tensor operator()(const Normalized& x) const { return conv2d(x, weight, options_); }

  const Tensor weight;  // (out, kernel, kernel, in / groups)

 private:
  Conv2dOptions options_;
};

}  // namespace isda
