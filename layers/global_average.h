// SPDX-License-Identifier: Apache-2.0
// Global average pooling: x (N,H,W,C) -> the mean over all pixels (N,C), of the parameters' type: in front of a classifier, which computes in f32
// beside bf16 too.   kernels/pooling/pooling.h
#pragma once
#include "core/tensor.h"

namespace isda {

Tensor global_average(const Tensor& x);

}  // namespace isda
