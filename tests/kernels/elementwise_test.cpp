// SPDX-License-Identifier: Apache-2.0
// Operations on single elements beyond their cases: special values, shared memory, what dropout draws, messages.
#include "kernels/elementwise/elementwise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "tests/kernels/array.h"
#include "tests/kernels/on_device.h"

namespace isda::kernels {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class ElementwiseOn : public OnDevice {};
ISDA_ON_EVERY_DEVICE(ElementwiseOn);

// ---- special values ----

TEST_P(ElementwiseOn, ReluKeepsNanAndStopsAtZero) {
  const Array<float> x({5}, {-kInfinity, -1, 0, 2, kNan}), dy({5}, {1, 2, 3, 4, 5});
  Array<float> y({5}), dx({5});
  run(context, Relu{.x = x, .y = y});
  EXPECT_EQ(std::vector<float>(y.values.begin(), y.values.begin() + 4), (std::vector<float>{0, 0, 0, 2}));
  EXPECT_TRUE(std::isnan(y.values[4]));
  run(context, ReluBackward{.dy = dy, .y = y, .dx = dx});
  EXPECT_EQ(dx.values, (std::vector<float>{0, 0, 0, 4, 0}));
}

TEST_P(ElementwiseOn, SigmoidReachesItsEndsWithoutNan) {
  const Array<float> x({6}, {-kInfinity, -200, 0, 20, 200, kInfinity});
  Array<float> y({6});
  run(context, Sigmoid{.x = x, .y = y});
  EXPECT_EQ(y.values[0], 0);
  EXPECT_LE(y.values[1], 1e-38f);
  EXPECT_EQ(y.values[2], 0.5f);
  EXPECT_FLOAT_EQ(y.values[3], 1);
  EXPECT_EQ(y.values[4], 1);
  EXPECT_EQ(y.values[5], 1);
}

TEST_P(ElementwiseOn, OutputsMayTakeTheMemoryOfInputs) {
  Array<float> x({3}, {-1, 2, 3});
  run(context, Relu{.x = x, .y = x});
  EXPECT_EQ(x.values, (std::vector<float>{0, 2, 3}));
  Array<float> gradient({3}, {5, 6, 7});
  run(context, ReluBackward{.dy = gradient, .y = x, .dx = gradient});
  EXPECT_EQ(gradient.values, (std::vector<float>{0, 6, 7}));
  const Array<float> factor({1}, 2.0f);
  run(context, Scale{.x = x, .factor = factor, .y = x});
  EXPECT_EQ(x.values, (std::vector<float>{0, 4, 6}));
  run(context, Add{.a = gradient, .b = x, .y = x});
  EXPECT_EQ(x.values, (std::vector<float>{0, 10, 13}));
  Array<float> image({1, 3, 1, 1}, {1, 2, 3}), dscale({1, 1});
  const Array<float> scale({1, 1}, 10.0f), other({1, 3, 1, 1}, {1, 1, 1});
  run(context, ScaleChannelsBackward{.dy = image, .x = other, .scale = scale, .dx = image, .dscale = dscale});
  EXPECT_EQ(image.values, (std::vector<float>{10, 20, 30}));
  EXPECT_EQ(dscale.values[0], 6);
  run(context, ScaleChannels{.x = image, .scale = scale, .y = image});
  EXPECT_EQ(image.values, (std::vector<float>{100, 200, 300}));
}

// ---- dropout ----

struct Key {
  std::uint64_t seed = 1;
  std::uint32_t layer = 2;
  std::int32_t step = 3;
};

// Dropout of ones.
std::vector<float> dropped(const Context& context, float probability, const Key& key, const Shape& shape = {100, 1000}) {
  const Array<float> x(shape, 1.0f);
  const Array<std::int32_t> step({1}, key.step);
  Array<float> y(shape, kNan);
  run(context, Dropout{.x = x, .step = step, .probability = probability, .seed = key.seed, .layer = key.layer, .y = y});
  return y.values;
}

TEST_P(ElementwiseOn, DropoutDropsItsShareAndKeepsTheMean) {
  for (const float probability : {0.1f, 0.5f, 0.9f}) {
    const std::vector<float> y = dropped(context, probability, {});
    const auto zeros = static_cast<double>(std::count(y.begin(), y.end(), 0.0f));
    const double p = static_cast<double>(probability), count = 100000;
    EXPECT_NEAR(zeros / count, p, 5 * std::sqrt(p * (1 - p) / count));
    for (const float value : y) EXPECT_TRUE(value == 0 || std::abs(value - 1 / (1 - probability)) < 1e-6f) << value;
  }
  EXPECT_EQ(dropped(context, 0, {}), std::vector<float>(100000, 1.0f)) << "nothing is dropped with probability 0";
}

TEST_P(ElementwiseOn, DropoutIsAFunctionOfItsKey) {
  const std::vector<float> y = dropped(context, 0.5f, {});
  EXPECT_EQ(dropped(context, 0.5f, {}), y);
  EXPECT_EQ(dropped(context, 0.5f, {}, {1000, 100}), y) << "an element's place in memory counts, not the shape";
  for (const Key& other : {Key{.seed = 2}, Key{.layer = 3}, Key{.step = 4}, Key{.layer = 3, .step = 2}}) {
    const std::vector<float> z = dropped(context, 0.5f, other);
    const auto agreeing = std::inner_product(y.begin(), y.end(), z.begin(), 0, std::plus<>(), [](float a, float b) { return (a == 0) == (b == 0); });
    EXPECT_NEAR(agreeing, 50000, 5 * 158) << "independent masks agree on half of the elements";
  }
}

TEST_P(ElementwiseOn, NeighboursAreDroppedIndependently) {
  const std::vector<float> y = dropped(context, 0.5f, {});
  for (const std::size_t distance : {1, 2, 4, 8, 256, 1024}) {
    int agreeing = 0;
    for (std::size_t i = 0; i + distance < y.size(); ++i) agreeing += (y[i] == 0) == (y[i + distance] == 0);
    EXPECT_NEAR(agreeing, 50000, 5 * 158 + 512) << distance;
  }
}

TEST(Dropouts, OfTheDevicesDropTheSameElements) {
  // At a probability that is no multiple of 2^-24, and at ones that are.
  for (const float probability : {0.3f, 0.5f, 0x1p-24f, 0.99f}) {
    EXPECT_EQ(dropped(Context(Device::cpu, 2), probability, {}), dropped(Context(Device::reference), probability, {})) << probability;
  }
}

TEST_P(ElementwiseOn, DropoutKeepsFromTheProbabilityUpwards) {
  // Below a half a float lies between the multiples of 2^-24 that are drawn.
  const Key key;
  int tried = 0;
  for (std::int64_t i = 0; i < 400; ++i) {
    const auto words = dropout_words(key.seed, key.layer, static_cast<std::uint32_t>(key.step), static_cast<std::uint64_t>(i / 4));
    const float drawn = uniform_float(words[static_cast<std::size_t>(i % 4)]);
    if (drawn == 0 || drawn >= 0.5f) continue;
    ++tried;
    const auto at = [&](float probability) { return dropped(context, probability, key, {400})[static_cast<std::size_t>(i)]; };
    EXPECT_NE(at(std::nextafter(drawn, 0.0f)), 0) << i;
    EXPECT_NE(at(drawn), 0) << i;
    EXPECT_EQ(at(std::nextafter(drawn, 1.0f)), 0) << i;
  }
  EXPECT_GT(tried, 100);
}

// ---- messages ----

TEST(ElementwiseChecks, SayWhatWasGotAndExpected) {
  const Context context(Device::cpu, 1);
  const auto message = [&](const auto& operation) { return thrown_by([&] { run(context, operation); }); };
  Array<float> x({2, 3}), y({3, 2}), image({2, 4, 4, 3}), factor({2});
  Array<double> doubles({2, 3});
  const Array<std::int32_t> step({1}), integers({2, 3});
  EXPECT_EQ(message(Relu{.x = {}, .y = y}), "[relu] x was not given");
  EXPECT_EQ(message(Relu{.x = x, .y = {}}), "[relu] y was not given, expected (2,3): the shape of x");
  EXPECT_EQ(message(Relu{.x = x, .y = y}), "[relu] y is (3,2), expected (2,3): the shape of x");
  EXPECT_EQ(message(Relu{.x = integers, .y = y}), "[relu] x is i32, expected f32, bf16 or f64");
  EXPECT_EQ(message(Add{.a = x, .b = doubles, .y = x}), "[add] b is f64, expected f32");
  EXPECT_EQ(message(Relu{.x = doubles, .y = doubles}),
            "[relu] the cpu device computes in f32, got f64; use --device reference for f64, --device cuda for bf16");
  EXPECT_EQ(message(Scale{.x = x, .factor = factor, .y = x}), "[scale] factor is (2), expected (1): one factor for all elements");
  EXPECT_EQ(message(ScaleChannels{.x = x, .scale = x, .y = x}), "[scale_channels] x is (2,3), expected 4 extents: (N,H,W,C)");
  EXPECT_EQ(message(ScaleChannels{.x = image, .scale = y, .y = image}), "[scale_channels] scale is (3,2), expected (2,3): (N,C) of x");
  EXPECT_EQ(message(ScaleChannelsBackward{.dy = image, .x = image, .scale = x, .dx = image, .dscale = y}),
            "[scale_channels_backward] dscale is (3,2), expected (2,3): (N,C) of x");
  EXPECT_EQ(message(Dropout{.x = x, .step = step, .probability = 1, .y = x}), "[dropout] probability is 1, expected from 0 to below 1");
  EXPECT_EQ(message(Dropout{.x = x, .step = step, .probability = kNan, .y = x}), "[dropout] probability is nan, expected from 0 to below 1");
  EXPECT_EQ(message(Dropout{.x = x, .step = {}, .y = x}), "[dropout] step was not given, expected (1): the training step");
  EXPECT_EQ(message(Dropout{.x = x, .step = factor, .y = x}), "[dropout] step is (2), expected (1): the training step");
}

}  // namespace
}  // namespace isda::kernels
