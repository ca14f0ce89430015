// SPDX-License-Identifier: Apache-2.0
// y = 1 / (1 + exp(-x)), of any shape.   kernels/elementwise/elementwise.h
#pragma once
#include "core/tensor.h"

namespace isda {

Tensor sigmoid(const Tensor& x);

}  // namespace isda
