// SPDX-License-Identifier: Apache-2.0
// y[n,h,w,c] = x[n,h,w,c] * scale[n,c], the gate of squeeze-and-excitation: x (N,H,W,C), scale (N,C).   kernels/elementwise/elementwise.h
#pragma once
#include "core/tensor.h"

namespace isda {

Tensor scale_channels(const Tensor& x, const Tensor& scale);

}  // namespace isda
