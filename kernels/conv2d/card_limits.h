// SPDX-License-Identifier: Apache-2.0
// How large a convolution the kernels of a card take. Elements lie at 64-bit offsets; pixels, channels and the depth of a product are counted in 32 bits,
// signed, and rounded up to whole tiles (kernels/conv2d/implicit_gemm.cuh), and a launch has limits of its own.
#pragma once
#include "kernels/conv2d/conv2d.h"

namespace isda::kernels::conv2d {

// Throws Error that names the first extent beyond, what it is and what is possible.
void check_card_limits(const Conv2d&);
void check_card_limits(const Conv2dBackwardData&);
void check_card_limits(const Conv2dBackwardWeights&);

}  // namespace isda::kernels::conv2d
