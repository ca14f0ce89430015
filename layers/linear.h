// SPDX-License-Identifier: Apache-2.0
// The fully connected layer: y = x weight^T + bias, x (N,A), weight (C,A), bias (C), y (N,C).   kernels/linear/linear.h
#pragma once
#include "core/module.h"

namespace isda {

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias);

// Starts from Uniform(-1/sqrt(A), 1/sqrt(A)), weight and bias, as the field does.
class Linear : public Module {
 public:
  Linear(std::int64_t in, std::int64_t out);
  Tensor operator()(const Tensor& x) const { return linear(x, weight, bias); }

  const Tensor weight, bias;
};

}  // namespace isda
