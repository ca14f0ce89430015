// SPDX-License-Identifier: Apache-2.0
// y = max(x, 0), of any shape.   kernels/elementwise/elementwise.h
#pragma once
#include "core/tensor.h"

namespace isda {

Tensor relu(const Tensor& x);

}  // namespace isda
