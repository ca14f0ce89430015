// SPDX-License-Identifier: Apache-2.0
// Batch normalisation over all but the last axis, with the residual add and ReLU that follow it in a residual network.
//   y = weight * (x - mean) / sqrt(variance + epsilon) + bias [+ residual] [ReLU]      Ioffe and Szegedy 2015
// In training mean and variance are the batch's, and the running ones follow them; in evaluation they are the running ones.
// kernels/batch_norm/batch_norm.h
#pragma once
#include "core/autograd.h"
#include "core/module.h"
#include "kernels/batch_norm/batch_norm.h"

namespace isda {

struct BatchNormOptions {
  Tensor residual = {};  // as x, added before the ReLU
  bool relu = false;
};

// relu(batch_norm(x)) that nobody has computed yet: the convolution that takes it applies x*scale + shift and the ReLU as it loads x, and
// its backward goes on through the normalisation. The normalised array is never written to memory.
struct Normalized {
  Tensor x;               // (N,H,W,C)
  Tensor mean, variance;  // (C), the ones normalised with
  Tensor weight, bias;    // (C), parameters
  Tensor scale, shift;    // (C), the whole normalisation as one multiply-add
  double epsilon = 0;
  bool is_training = false;  // else mean and variance are constants
};

// The backward pass of a normalisation. In evaluation mean and variance are constants: dx is without the terms that go back through them.
void run_backward(const Context& context, const kernels::BatchNormBackward& operation, bool is_training);

class BatchNorm : public Module {
 public:
  explicit BatchNorm(std::int64_t channels, double momentum = 0.1, double epsilon = 1e-5);
  Tensor operator()(const Tensor& x, const BatchNormOptions& options = {}) const;
  // For a convolution that follows: conv2(bn1.relu_on_load(conv1(x))).
  Normalized relu_on_load(const Tensor& x) const;

  const Tensor weight, bias;                    // (C), starting at 1 and 0
  const Tensor running_mean, running_variance;  // (C), on disk running_mean and running_var

 private:
  BatchStatistics statistics_of(const Tensor& x) const;
  kernels::RunningStatistics followers() const;

  double momentum_, epsilon_;
};

}  // namespace isda
