// SPDX-License-Identifier: Apache-2.0
// Pooling: x (N,H,W,C) -> one value per channel and window, (N,P,Q,C).   kernels/pooling/pooling.h
#pragma once
#include "core/tensor.h"

namespace isda {

struct PoolingOptions {
  int kernel = 2;
  int stride = 2;
  int padding = 0;
};

Tensor max_pool2d(const Tensor& x, const PoolingOptions& options);
Tensor average_pool2d(const Tensor& x, const PoolingOptions& options);

}  // namespace isda
