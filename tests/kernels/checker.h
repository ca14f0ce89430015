// SPDX-License-Identifier: Apache-2.0
// How two arrays are compared: NaN and Inf fail first, then the largest error as a share of the largest expected magnitude.
#pragma once
#include <string>

#include "kernels/common/view.h"

namespace isda {

// Empty when `actual` agrees with `expected`; otherwise what is wrong, with the worst coordinate and both values there.
// Integers must be equal. tolerance: of |actual - expected| / max |expected|.
// usual: the largest magnitude such an array has on other data, which counts where it is larger than max |expected|.
std::string difference(const ConstView& actual, const ConstView& expected, double tolerance, double usual = 0);

// The largest |actual - expected| / max(|expected|, usual), over arrays of one shape; infinite where a value is not finite, or none was expected and one is
// there.
double largest_error(const ConstView& actual, const ConstView& expected, double usual = 0);

// max |value|, of a view of floats or integers.
double largest_magnitude(const ConstView& view);

}  // namespace isda
