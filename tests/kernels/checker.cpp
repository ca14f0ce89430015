// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/checker.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace isda {

namespace {

// The coordinates of element `offset`, e.g. "(0,3,1)".
std::string coordinates(const Shape& shape, std::int64_t offset) {
  std::string result;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    result = std::to_string(offset % shape[axis]) + (result.empty() ? "" : ",") + result;
    offset /= shape[axis];
  }
  return "(" + result + ")";
}

}  // namespace

std::string difference(const ConstView& actual, const ConstView& expected, double tolerance) {
  if (!(actual.shape() == expected.shape())) return fmt::format("shape {}, expected {}", actual.shape(), expected.shape());
  double scale = 0;
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    if (!std::isfinite(expected.at_offset(i))) return fmt::format("the expected value at {} is {}", coordinates(expected.shape(), i), expected.at_offset(i));
    scale = std::max(scale, std::abs(expected.at_offset(i)));
  }
  const double allowed = is_float(expected.type()) ? tolerance * scale : 0;
  double worst = 0;
  std::int64_t worst_at = -1;
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    const double error = std::abs(actual.at_offset(i) - expected.at_offset(i));
    if (!std::isfinite(error)) return fmt::format("{} at {}, expected {}", actual.at_offset(i), coordinates(actual.shape(), i), expected.at_offset(i));
    if (error > allowed && error > worst) {
      worst = error;
      worst_at = i;
    }
  }
  if (worst_at < 0) return "";
  return fmt::format("{} at {}, expected {}: error {:.3g} of the largest magnitude {:.3g}, allowed {:.3g}", actual.at_offset(worst_at),
                     coordinates(actual.shape(), worst_at), expected.at_offset(worst_at), worst / scale, scale, tolerance);
}

double largest_error(const ConstView& actual, const ConstView& expected) {
  double scale = 0, worst = 0;
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    const double error = std::abs(actual.at_offset(i) - expected.at_offset(i));
    if (!std::isfinite(error)) return std::numeric_limits<double>::infinity();
    scale = std::max(scale, std::abs(expected.at_offset(i)));
    worst = std::max(worst, error);
  }
  return worst == 0 ? 0 : worst / scale;
}

}  // namespace isda
