// SPDX-License-Identifier: Apache-2.0
// For what cases cannot hold of an operation on the card, which is the emulated one unless the tests are linked for a real one: values given by hand,
// NaN and infinities.
//
//   expect_as_reference_on_card([](Problem& p) {
//     p.forward(Relu{.x = p.input("x", {3}, given({1, kNan, -2})), .y = p.output("y", {3})});
//   }, 1e-6);
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "kernels/common/case.h"

namespace isda::kernels {

// The value of each element.
inline Fill given(const std::vector<double>& values) {
  return [=](Draw&, std::int64_t i) { return values.at(static_cast<std::size_t>(i)); };
}

// The element of an array after the run.
inline double value_of(const Problem& problem, const std::string& array, std::int64_t offset) { return problem.array(array).view.at_offset(offset); }

// Runs what `make` describes on the reference and on the card, in f32 and bf16: NaN where the reference has NaN, elsewhere its value, whose error is at
// most `tolerance` (in bf16 2^-8) of itself and 1.
inline void expect_as_reference_on_card(const std::function<void(Problem&)>& make, double tolerance) {
  if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  for (const DType type : {DType::f32, DType::bf16}) {
    Problem expected(type, 1), actual(type, 1, Device::cuda);
    make(expected);
    make(actual);
    expected.run(Context(Device::reference));
    actual.run(Context(Device::cuda));
    for (const Problem::Array& array : expected.arrays()) {
      for (std::int64_t i = 0; i < array.view.size(); ++i) {
        const double value = value_of(actual, array.name, i), wanted = array.view.at_offset(i);
        const double allowed = (type == DType::f32 ? tolerance : 0x1p-8) * (1 + std::abs(wanted));
        const bool is_equal = std::isnan(wanted) ? std::isnan(value) : value == wanted || std::abs(value - wanted) <= allowed;
        EXPECT_TRUE(is_equal) << name_of(type) << " " << array.name << "[" << i << "] is " << value << ", expected " << wanted;
      }
    }
  }
}

}  // namespace isda::kernels
