// SPDX-License-Identifier: Apache-2.0
// Pooling beyond its cases: numbers by hand, ties, NaN, padding, messages.
#include "kernels/pooling/pooling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/pooling/window.h"
#include "tests/kernels/array.h"
#include "tests/kernels/on_card.h"
#include "tests/kernels/on_device.h"

namespace isda::kernels {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class PoolingOn : public OnDevice {};
ISDA_ON_EVERY_DEVICE(PoolingOn);

using Floats = std::vector<float>;
using Integers = std::vector<std::int32_t>;

TEST_P(PoolingOn, MaximumByHand) {
  // 3x3 windows, stride 2, padding 1, over 4x4 negative numbers: a padding of 0 would win everywhere.
  const Array<float> x({1, 4, 4, 1}, {-16, -2, -3, -4,   //
                                      -5, -6, -1, -8,    //
                                      -9, -10, -11, -7,  //
                                      -13, -14, -15, -12});
  Array<float> y({1, 2, 2, 1});
  Array<std::int32_t> indices({1, 2, 2, 1});
  run(context, MaxPool2d{.x = x, .y = y, .indices = indices, .kernel = 3, .stride = 2, .padding = 1});
  EXPECT_EQ(y.values, (Floats{-2, -1, -5, -1}));
  EXPECT_EQ(indices.values, (Integers{1, 6, 4, 6}));

  const Array<float> dy({1, 2, 2, 1}, {1, 2, 4, 8});
  Array<float> dx({1, 4, 4, 1}, kNan);
  run(context, MaxPool2dBackward{.dy = dy, .indices = indices, .dx = dx, .kernel = 3, .stride = 2, .padding = 1});
  EXPECT_EQ(dx.values, (Floats{0, 1, 0, 0, 4, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0})) << "one place may win several windows";
}

TEST_P(PoolingOn, TheFirstOfEqualsWins) {
  const Array<float> x({1, 2, 2, 2}, {3, 1, 3, 2, 3, 2, 3, 2});
  Array<float> y({1, 1, 1, 2});
  Array<std::int32_t> indices({1, 1, 1, 2});
  run(context, MaxPool2d{.x = x, .y = y, .indices = indices});
  EXPECT_EQ(y.values, (Floats{3, 2}));
  EXPECT_EQ(indices.values, (Integers{0, 1}));
}

TEST_P(PoolingOn, ANanWinsAndMinusInfinityIsANumber) {
  const Array<float> x({1, 2, 2, 3}, {1, kNan, -kInfinity, 2, 5, -kInfinity, kNan, 6, -kInfinity, 4, 7, -kInfinity});
  Array<float> y({1, 1, 1, 3});
  Array<std::int32_t> indices({1, 1, 1, 3});
  run(context, MaxPool2d{.x = x, .y = y, .indices = indices});
  EXPECT_TRUE(std::isnan(y.values[0]));
  EXPECT_TRUE(std::isnan(y.values[1]));
  EXPECT_EQ(y.values[2], -kInfinity);
  EXPECT_EQ(indices.values, (Integers{2, 0, 0}));
}

TEST_P(PoolingOn, AverageCountsThePadding) {
  // 3x3 windows, stride 2, padding 1 over 3x3 nines: corners see four of nine.
  const Array<float> x({1, 3, 3, 1}, 9.0f);
  Array<float> y({1, 2, 2, 1});
  run(context, AveragePool2d{.x = x, .y = y, .kernel = 3, .stride = 2, .padding = 1});
  EXPECT_EQ(y.values, (Floats{4, 4, 4, 4}));
  const Array<float> dy({1, 2, 2, 1}, {9, 18, 36, 72});
  Array<float> dx({1, 3, 3, 1}, kNan);
  run(context, AveragePool2dBackward{.dy = dy, .dx = dx, .kernel = 3, .stride = 2, .padding = 1});
  EXPECT_EQ(dx.values, (Floats{1, 3, 2, 5, 15, 10, 4, 12, 8}));
}

TEST_P(PoolingOn, PlacesThatNoWindowCoversGetNoGradient) {
  // Stride 3 with kernel 2: every third row and column is skipped.
  const Array<float> dy({1, 2, 2, 1}, 4.0f);
  Array<float> dx({1, 5, 5, 1}, kNan);
  run(context, AveragePool2dBackward{.dy = dy, .dx = dx, .kernel = 2, .stride = 3});
  for (std::size_t h = 0; h < 5; ++h) {
    for (std::size_t w = 0; w < 5; ++w) EXPECT_EQ(dx.values[h * 5 + w], h == 2 || w == 2 ? 0 : 1) << h << "," << w;
  }
}

TEST(PoolingOnCard, TiesNanAndInfinities) {
  // Two images of 2x3 pixels and 4 channels, windows of 2x2: ties; a NaN first, last, twice; nothing but minus infinity; an infinity.
  expect_as_reference_on_card(
      [](Problem& p) {
        const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
        const ConstView x = p.input("x", {2, 2, 3, 4}, given({3, nan, -infinity, 1, 3, 2, -infinity, infinity, 3, 5, -infinity, 3,        //
                                                              3, 1,   -infinity, 2, 3, 9, -infinity, 4,        2, 6, -infinity, 5,        //
                                                              1, nan, 4,         0, 2, 7, nan,       0,        2, 8, nan,       nan,      //
                                                              1, 2,   5,         0, 2, 1, 6,         -0.0,     1, 8, 3,         -1.0}));  //
        const Shape pooled{2, 1, 2, 4};
        const View indices = p.integer_output("indices", pooled);
        p.forward(MaxPool2d{.x = x, .y = p.output("y", pooled), .indices = indices, .kernel = 2, .stride = 1});
        p.backward(MaxPool2dBackward{.dy = p.input("dy", pooled), .indices = indices, .dx = p.output("dx", x.shape()), .kernel = 2, .stride = 1});
        p.forward(AveragePool2d{.x = x, .y = p.output("mean", pooled), .kernel = 2, .stride = 1});
        p.forward(GlobalAverage{.x = x, .y = p.output("global_mean", {2, 4})});
      },
      1e-6);
}

TEST(Windows, CoveringIsTheInverseOfPlaces) {
  for (std::int64_t kernel = 1; kernel <= 5; ++kernel) {
    for (std::int64_t stride = 1; stride <= 6; ++stride) {
      for (std::int64_t padding = 0; padding <= kernel / 2; ++padding) {
        for (std::int64_t inputs = std::max<std::int64_t>(kernel - 2 * padding, 1); inputs <= 12; ++inputs) {
          const Window window{kernel, stride, padding};
          const std::int64_t outputs = window.outputs(inputs);
          ASSERT_GE(outputs, 1);
          for (std::int64_t p = 0; p < outputs; ++p) {
            const auto places = window.places(p, inputs);
            ASSERT_LT(places.begin, places.end) << "every window holds a place";
            for (std::int64_t h = 0; h < inputs; ++h) {
              const auto covering = window.covering(h, outputs);
              ASSERT_EQ(places.begin <= h && h < places.end, covering.begin <= p && p < covering.end)
                  << kernel << " " << stride << " " << padding << " " << inputs << ": window " << p << ", place " << h;
            }
          }
        }
      }
    }
  }
}

TEST(PoolingChecks, SayWhatWasGotAndExpected) {
  const Context context(Device::cpu, 1);
  const auto message = [&](const auto& operation) { return thrown_by([&] { run(context, operation); }); };
  Array<float> x({2, 5, 7, 3}), y({2, 2, 3, 3}), flat({2, 3});
  Array<double> doubles({2, 2, 3, 3});
  Array<std::int32_t> indices({2, 2, 3, 3}), few({2, 2, 3, 1});
  EXPECT_EQ(message(MaxPool2d{.x = x, .y = y, .indices = indices}), "nothing was thrown");
  EXPECT_EQ(message(MaxPool2d{.x = flat, .y = y}), "[max_pool2d] x is (2,3), expected 4 extents: (N,H,W,C)");
  EXPECT_EQ(message(MaxPool2d{.x = x, .y = y, .kernel = 3, .stride = 2, .padding = 1}),
            "[max_pool2d] y is (2,2,3,3), expected (2,3,4,3): x (2,5,7,3) with kernel 3, stride 2, padding 1");
  EXPECT_EQ(message(MaxPool2d{.x = x, .y = doubles}), "[max_pool2d] y is f64, expected f32");
  EXPECT_EQ(message(MaxPool2d{.x = x, .y = y, .indices = few}), "[max_pool2d] indices are (2,2,3,1), expected (2,2,3,3): the shape of y");
  EXPECT_EQ(message(MaxPool2d{.x = x, .y = y, .indices = y}), "[max_pool2d] indices is f32, expected i32");
  EXPECT_EQ(message(MaxPool2dBackward{.dy = y, .indices = {}, .dx = x}),
            "[max_pool2d_backward] indices were not given; MaxPool2d writes them where it is asked to");
  EXPECT_EQ(message(AveragePool2d{.x = x, .y = y, .kernel = 0}), "[average_pool2d] kernel is 0, expected 1 or more");
  EXPECT_EQ(message(AveragePool2d{.x = x, .y = y, .stride = 0}), "[average_pool2d] stride is 0, expected 1 or more");
  EXPECT_EQ(message(AveragePool2d{.x = x, .y = y, .padding = 2}), "[average_pool2d] padding is 2, expected 0 to 1: half the kernel 2");
  EXPECT_EQ(message(AveragePool2d{.x = x, .y = y, .kernel = 6}), "[average_pool2d] the kernel 6 is larger than x (2,5,7,3) with padding 0");
  EXPECT_EQ(message(AveragePool2dBackward{.dy = x, .dx = x}),
            "[average_pool2d_backward] dy is (2,5,7,3), expected (2,2,3,3): dx (2,5,7,3) with kernel 2, stride 2, padding 0");
  EXPECT_EQ(message(GlobalAverage{.x = x, .y = y}), "[global_average] y is (2,2,3,3), expected (2,3): (N,C) of x (2,5,7,3)");
  EXPECT_EQ(message(GlobalAverageBackward{.dy = y, .dx = x}), "[global_average_backward] dy is (2,2,3,3), expected (2,3): (N,C) of dx (2,5,7,3)");
}

}  // namespace
}  // namespace isda::kernels
