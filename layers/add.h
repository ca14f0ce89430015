// SPDX-License-Identifier: Apache-2.0
// y = a + b, of one shape: a residual connection where nothing can be fused with it.   kernels/elementwise/elementwise.h
#pragma once
#include "core/tensor.h"

namespace isda {

Tensor add(const Tensor& a, const Tensor& b);

}  // namespace isda
