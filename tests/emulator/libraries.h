// SPDX-License-Identifier: Apache-2.0
// Kernels written with CUB, for the stand-in of it on the emulated card.
#pragma once
#include "kernels/common/context.h"

namespace isda::libraries {

inline constexpr int kThreads = 96;

// totals[block] = sum of the block's values; largest[block] = their maximum; before[i] = sum of the block's values before i;
// warp_totals[warp of the grid] = sum of the warp's values. x has kThreads values a block.
void reduce_and_scan(const Context& context, const int* x, int blocks, int* totals, int* largest, int* before, int* warp_totals);

}  // namespace isda::libraries
