// SPDX-License-Identifier: Apache-2.0
// Batch normalisation over all but the last axis, with the residual add and ReLU that follow it in a residual network.
//   y = weight * (x - mean) / sqrt(variance + epsilon) + bias [+ residual] [ReLU]      Ioffe and Szegedy 2015
// In training mean and variance are the batch's, and the running ones follow them; in evaluation they are the running ones.
// kernels/batch_norm/batch_norm.h
#pragma once
#include "core/module.h"

namespace isda {

struct BatchNormOptions {
  Tensor residual = {};  // as x, added before the ReLU
  bool relu = false;
};

class BatchNorm : public Module {
 public:
  explicit BatchNorm(std::int64_t channels, float momentum = 0.1f, float epsilon = 1e-5f);
  Tensor operator()(const Tensor& x, const BatchNormOptions& options = {}) const;

  const Tensor weight, bias;                    // (C), starting at 1 and 0
  const Tensor running_mean, running_variance;  // (C), on disk running_mean and running_var

 private:
  float momentum_, epsilon_;
};

}  // namespace isda
