// SPDX-License-Identifier: Apache-2.0
// Pooling as layers: shapes, values on a small image, gradients by differences, what is refused.
#include "layers/pooling.h"

#include <gtest/gtest.h>

#include "core/random.h"
#include "layers/global_average.h"
#include "layers/window.h"
#include "tests/core/expect_error.h"
#include "tests/layers/numeric_gradient.h"

namespace isda {
namespace {

// All elements different by 1/8 at least, in random order: no maximum is a tie.
Tensor distinct_parameter(const Shape& shape) {
  const Tensor x(shape, DType::f64, Device::reference);
  const auto order = permutation(x.size(), 1, RandomStream::test, 0);
  for (std::int64_t i = 0; i < x.size(); ++i) x.view().set_offset(order[static_cast<std::size_t>(i)] / 8.0, i);
  return parameter(x);
}

TEST(GlobalAverage, ValuesAndGradient) {
  const Tensor x = random_parameter({2, 3, 5, 4}, 1);
  const Tensor y = global_average(x);
  ASSERT_EQ(y.shape(), (Shape{2, 4}));
  double sum = 0;
  for (std::int64_t h = 0; h < 3; ++h) {
    for (std::int64_t w = 0; w < 5; ++w) sum += x.view().at(1, h, w, 2);
  }
  EXPECT_NEAR(y.view().at(1, 2), sum / 15, 1e-15);
  expect_gradients({{"x", x}}, [&] { return global_average(x); });
}

TEST(MaxPool, ValuesAndGradient) {
  const Tensor x = Tensor::zeros({1, 4, 4, 1});
  for (std::int64_t i = 0; i < 16; ++i) x.view().set_offset(static_cast<double>(i * 7 % 16), i);
  // 0 7 14 5 | 12 3 10 1 | 8 15 6 13 | 4 11 2 9
  const Tensor pooled = max_pool2d(x, {.kernel = 2, .stride = 2});
  const View y = pooled;
  EXPECT_EQ(y.at(0, 0, 0, 0), 12);
  EXPECT_EQ(y.at(0, 0, 1, 0), 14);
  EXPECT_EQ(y.at(0, 1, 0, 0), 15);
  EXPECT_EQ(y.at(0, 1, 1, 0), 13);
  const Tensor z = distinct_parameter({2, 5, 6, 3});
  expect_gradients({{"x", z}}, [&] { return max_pool2d(z, {.kernel = 2, .stride = 2}); });
  expect_gradients({{"x", z}}, [&] { return max_pool2d(z, {.kernel = 3, .stride = 2, .padding = 1}); });
}

TEST(AveragePool, ValuesAndGradient) {
  const Tensor x = random_parameter({2, 5, 6, 3}, 2);
  const Tensor pooled = average_pool2d(x, {.kernel = 2, .stride = 2});
  const View v = x, y = pooled;
  EXPECT_NEAR(y.at(1, 1, 2, 0), (v.at(1, 2, 4, 0) + v.at(1, 2, 5, 0) + v.at(1, 3, 4, 0) + v.at(1, 3, 5, 0)) / 4, 1e-15);
  expect_gradients({{"x", x}}, [&] { return average_pool2d(x, {.kernel = 2, .stride = 2}); });
  expect_gradients({{"x", x}}, [&] { return average_pool2d(x, {.kernel = 3, .stride = 2, .padding = 1}); });
}

TEST(Pooling, ShapesRoundDown) {
  const Tensor x = random_tensor({2, 7, 8, 3}, 3);
  EXPECT_EQ(max_pool2d(x, {.kernel = 2, .stride = 2}).shape(), (Shape{2, 3, 4, 3}));
  EXPECT_EQ(max_pool2d(x, {.kernel = 3, .stride = 2, .padding = 1}).shape(), (Shape{2, 4, 4, 3}));
  EXPECT_EQ(average_pool2d(x, {.kernel = 7, .stride = 1}).shape(), (Shape{2, 1, 2, 3}));
}

TEST(Pooling, WrongOptionsAreErrors) {
  const Tensor x = random_tensor({2, 4, 4, 3}, 4);
  expect_error([&] { max_pool2d(x, {.kernel = 2, .stride = 0}); }, "[max_pool2d] stride is 0, expected 1 or more");
  expect_error([&] { average_pool2d(x, {.kernel = 2, .stride = 0}); }, "[average_pool2d] stride is 0, expected 1 or more");
  expect_error([&] { max_pool2d(x, {.kernel = 0}); }, "[max_pool2d] kernel is 0, expected 1 or more");
  expect_error([&] { average_pool2d(x, {.kernel = 7}); }, "[average_pool2d] the kernel 7 is larger than x (2,4,4,3) with padding 0");
  expect_error([&] { max_pool2d(random_tensor({4, 4, 3}, 5), {}); }, "(4,4,3)");
}

TEST(WindowCount, CountsWhatFits) {
  EXPECT_EQ(window_count(32, 3, 1, 1), 32);
  EXPECT_EQ(window_count(32, 3, 2, 1), 16);
  EXPECT_EQ(window_count(5, 2, 2, 0), 2);
  EXPECT_EQ(window_count(3, 3, 1, 0), 1);
  EXPECT_EQ(window_count(2, 3, 1, 0), 0);
  EXPECT_EQ(window_count(2, 3, 2, 0), 0);
  EXPECT_EQ(window_count(8, 3, 0, 0), 0);
}

}  // namespace
}  // namespace isda
