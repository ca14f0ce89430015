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

// Where an array is furthest from what is expected.
struct Furthest {
  std::int64_t at = 0;
  double error = 0;  // |actual - expected|; infinite at the first value that is not finite
  double scale = 0;  // max |expected|, or what it usually is
};

Furthest furthest(const ConstView& actual, const ConstView& expected, double usual) {
  Furthest result{.scale = usual};
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    const double error = std::abs(actual.at_offset(i) - expected.at_offset(i));
    if (!std::isfinite(error)) return {i, std::numeric_limits<double>::infinity()};
    result.scale = std::max(result.scale, std::abs(expected.at_offset(i)));
    if (error > result.error) result = {i, error, result.scale};
  }
  return result;
}

}  // namespace

std::string difference(const ConstView& actual, const ConstView& expected, double tolerance, double usual) {
  if (!(actual.shape() == expected.shape())) return fmt::format("shape {}, expected {}", actual.shape(), expected.shape());
  const auto [at, error, scale] = furthest(actual, expected, usual);
  if (error <= (is_float(expected.type()) ? tolerance * scale : 0)) return "";
  const std::string found = fmt::format("{} at {}, expected {}", actual.at_offset(at), coordinates(actual.shape(), at), expected.at_offset(at));
  if (std::isinf(error)) return found;
  return fmt::format("{}: error {:.3g} of the largest magnitude {:.3g}, allowed {:.3g}", found, error / scale, scale, tolerance);
}

double largest_error(const ConstView& actual, const ConstView& expected, double usual) {
  const Furthest worst = furthest(actual, expected, usual);
  return worst.error == 0 ? 0 : worst.error / worst.scale;
}

double largest_magnitude(const ConstView& view) {
  double result = 0;
  for (std::int64_t i = 0; i < view.size(); ++i) result = std::max(result, std::abs(view.at_offset(i)));
  return result;
}

}  // namespace isda
