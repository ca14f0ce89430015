// SPDX-License-Identifier: Apache-2.0
// Holds what backward() gives for a differentiable function against central differences, in f64 on the reference device.
//
//   const Tensor x = random_parameter({2, 4, 4, 3}, 1);
//   expect_gradients({{"x", x}}, [&] { return relu(x); });
//
// The scalar that is differentiated is the sum over the output's elements times fixed random numbers, so that no error can cancel.
#pragma once
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "core/autograd.h"
#include "core/module.h"
#include "core/random.h"

namespace isda {

constexpr Placement kExact{Device::reference, DType::f64};

// Normal numbers, other ones for each `array`.
inline Tensor random_tensor(const Shape& shape, std::uint64_t array, const Placement& placement = kExact, double deviation = 1) {
  const Tensor tensor(shape, placement.type, placement.device);
  fill_normal(tensor, deviation, 1, RandomStream::test, array);
  return tensor;
}

inline Tensor random_parameter(const Shape& shape, std::uint64_t array, const Placement& placement = kExact, double deviation = 1) {
  return parameter(random_tensor(shape, array, placement, deviation));
}

// Gives every parameter of a module normal numbers: also those that start at a constant.
inline void randomise(const Module& module, std::uint64_t array, double deviation = 0.5) {
  for (const auto& [name, tensor] : module.parameters()) fill_normal(tensor, deviation, 2, RandomStream::test, array++);
}

// The sum of y's elements times fixed random numbers, (1).
inline Tensor weighted_sum(const Tensor& y) {
  const Tensor weights = random_tensor(y.shape(), 999, {y.device(), y.type()});
  double sum = 0;
  for (std::int64_t i = 0; i < y.size(); ++i) sum += y.view().at_offset(i) * weights.view().at_offset(i);
  return differentiable(Tensor::full({1}, sum, y.type(), y.device()), {y}, [weights](const Tensor& dsum) {
    const Tensor dy = Tensor::like(weights);
    for (std::int64_t i = 0; i < dy.size(); ++i) dy.view().set_offset(dsum.item() * weights.view().at_offset(i), i);
    return Gradients{dy};
  });
}

// The largest difference between two arrays over the largest magnitude of the second; NaN where either holds one.
inline double relative_error(const ConstView& got, const ConstView& expected) {
  double error = 0, largest = 0;
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    const double difference = std::abs(got.at_offset(i) - expected.at_offset(i));
    if (!(difference <= error)) error = difference;
    largest = std::max(largest, std::abs(expected.at_offset(i)));
  }
  return error == 0 ? 0 : error / largest;
}

// NOTE: a NaN on either side fails.
inline void expect_close(const ConstView& got, const ConstView& expected, double tolerance, const std::string& what) {
  ASSERT_EQ(got.shape().text(), expected.shape().text()) << what;
  EXPECT_TRUE(relative_error(got, expected) <= tolerance) << what << ": relative error " << relative_error(got, expected) << ", allowed " << tolerance;
}

// `of`: the leaves whose gradients are checked, element by element; `forward` computes from them. A leaf's gradient is left cleared.
inline void expect_gradients(const std::vector<NamedTensor>& of, const std::function<Tensor()>& forward, double tolerance = 1e-7) {
  constexpr double kStep = 1e-5;
  for (const auto& [name, leaf] : of) clear_gradient(leaf);
  backward(weighted_sum(forward()));

  const auto value = [&] {
    const NoGradient no_gradient;
    return weighted_sum(forward()).item();
  };
  for (const auto& [name, leaf] : of) {
    const Tensor gradient = gradient_of(leaf);
    ASSERT_TRUE(gradient) << name << " has no gradient";
    const Tensor numeric = Tensor::like(leaf);
    for (std::int64_t i = 0; i < leaf.size(); ++i) {
      const double at = leaf.view().at_offset(i);
      leaf.view().set_offset(at + kStep, i);
      const double above = value();
      leaf.view().set_offset(at - kStep, i);
      const double below = value();
      leaf.view().set_offset(at, i);
      numeric.view().set_offset((above - below) / (2 * kStep), i);
    }
    expect_close(gradient, numeric, tolerance, "gradient of " + name);
    clear_gradient(leaf);
  }
}

}  // namespace isda
