// SPDX-License-Identifier: Apache-2.0
// Kernels whose memory accesses one can count by hand.
#pragma once
#include "kernels/common/context.h"

namespace isda::patterns {

// y[i * stride] = x[i * stride] by one warp: neighbours side by side for stride 1, a sector each from stride 8 on.
void copy_strided(const Context& context, const float* x, float* y, int stride);
// Lane l reads and writes word l * stride of shared memory, then y[l].
void shared_strided(const Context& context, float* y, int stride);
// Every lane of a warp reads 16 bytes of shared memory, side by side.
void shared_wide(const Context& context, float* y);
// The first `lanes` lanes of a warp go one way, the rest another.
void branch(const Context& context, float* y, int lanes);

}  // namespace isda::patterns
