// SPDX-License-Identifier: Apache-2.0
// Global average pooling: x (N,H,W,C) -> the mean over all pixels (N,C).   kernels/pooling/pooling.h
#pragma once
#include "core/tensor.h"

namespace isda {

Tensor global_average(const Tensor& x);

}  // namespace isda
