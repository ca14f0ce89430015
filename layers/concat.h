// SPDX-License-Identifier: Apache-2.0
// The channels of a, then those of b: (...,A) and (...,B) -> (...,A+B).   kernels/concat/concat.h
#pragma once
#include "core/tensor.h"

namespace isda {

// NOTE: where the mean and variance of the channels are known of a and of b, those of the result are known, and a batch normalisation behind it finds them.
Tensor concat(const Tensor& a, const Tensor& b);

}  // namespace isda
