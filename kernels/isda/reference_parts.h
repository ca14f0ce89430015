// SPDX-License-Identifier: Apache-2.0
// What the definitions of the heads are written with.
#pragma once
#include <deque>
#include <vector>

#include "kernels/common/view.h"

namespace isda::kernels {

using Vector = std::vector<double>;

// The samples of class c, in order.
inline std::vector<std::int64_t> samples_of(const ConstView& labels, std::int64_t c) {
  std::vector<std::int64_t> samples;
  for (std::int64_t i = 0; i < labels.size(); ++i) {
    if (static_cast<std::int64_t>(labels.at(i)) == c) samples.push_back(i);
  }
  return samples;
}

// D_c[j] = w_j - w_c
inline Vector difference(const ConstView& weight, std::int64_t j, std::int64_t c) {
  Vector d(static_cast<std::size_t>(weight.extent(1)));
  for (std::size_t a = 0; a < d.size(); ++a) d[a] = weight.at(j, a) - weight.at(c, a);
  return d;
}

inline double dot(const Vector& a, const Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Makes arrays in double that nobody outside sees; they live as long as it.
class Doubles {
 public:
  View operator()(const Shape& shape) {
    Vector& values = arrays_.emplace_back(static_cast<std::size_t>(shape.size()), 0.0);
    return View(values.data(), DType::f64, shape);
  }

 private:
  std::deque<Vector> arrays_;
};

}  // namespace isda::kernels
