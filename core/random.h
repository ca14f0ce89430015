// SPDX-License-Identifier: Apache-2.0
// Random fills of tensors, as functions of (seed, stream, array, element): no generator is carried along.
//
// Computed by the host for every device, in double, so that a seed means the same bits on all of them; a view on the card is filled by a copy
// from the host. That is for initial values; random numbers inside a step are drawn by the kernels themselves (kernels/common/philox.h).
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/common/philox.h"
#include "kernels/common/view.h"

namespace isda {

// Element i of array `array` is mean-0 normal with this deviation, from Philox at (array, i). Box-Muller in double.
void fill_normal(const View& view, double deviation, std::uint64_t seed, RandomStream stream, std::uint64_t array);

// Uniform in [low, high).
void fill_uniform(const View& view, double low, double high, std::uint64_t seed, RandomStream stream, std::uint64_t array);

// 0..count-1 in random order (Fisher-Yates), from Philox at (position, draw): e.g. position = epoch.
std::vector<std::int32_t> permutation(std::int64_t count, std::uint64_t seed, RandomStream stream, std::uint64_t position);

}  // namespace isda
