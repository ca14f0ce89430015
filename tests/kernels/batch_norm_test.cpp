// SPDX-License-Identifier: Apache-2.0
// Batch normalisation beyond its cases: numbers by hand, hard data, arguments that share memory, NaN, messages.
#include "kernels/batch_norm/batch_norm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "kernels/common/philox.h"
#include "tests/kernels/array.h"
#include "tests/kernels/checker.h"
#include "tests/kernels/on_device.h"

namespace isda::kernels {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class BatchNormOn : public OnDevice {};
ISDA_ON_EVERY_DEVICE(BatchNormOn);

Array<float> filled(const Shape& shape, const std::function<double(std::int64_t)>& value) {
  Array<float> array(shape);
  for (std::int64_t i = 0; i < shape.size(); ++i) array.values[static_cast<std::size_t>(i)] = static_cast<float>(value(i));
  return array;
}

// Uniform, deviation about 1.
double noise(std::uint64_t stream, std::int64_t i) {
  return 3.46 * (static_cast<double>(uniform_float(philox(stream, RandomStream::test, 0, static_cast<std::uint64_t>(i))[0])) - 0.5);
}

// ---- statistics ----

TEST_P(BatchNormOn, NumbersByHand) {
  const Array<float> x({4, 2}, {1, 10, 2, 10, 3, 10, 6, 10});
  Array<float> mean({2}), variance({2}), running_mean({2}, 1.0f), running_variance({2}, 2.0f), y({4, 2});
  run(context, BatchNormStatistics{.x = x, .mean = mean, .variance = variance});
  EXPECT_EQ(mean.values, (std::vector<float>{3, 10}));
  EXPECT_EQ(variance.values, (std::vector<float>{3.5f, 0}));

  const Array<float> weight({2}, {2, 3}), bias({2}, {-1, 5});
  run(context, BatchNorm{.x = x,
                         .mean = mean,
                         .variance = variance,
                         .weight = weight,
                         .bias = bias,
                         .relu = true,
                         .epsilon = 0.5,
                         .y = y,
                         .running = {.mean = running_mean, .variance = running_variance, .momentum = 0.25}});
  EXPECT_EQ(y.values, (std::vector<float>{0, 5, 0, 5, 0, 5, 2, 5}));  // 2 (x - 3) / 2 - 1, below 0 made 0
  // 0.75 * 1 + 0.25 * 3 and 0.75 * 2 + 0.25 * 3.5 * 4/3
  EXPECT_FLOAT_EQ(running_mean.values[0], 1.5f);
  EXPECT_FLOAT_EQ(running_mean.values[1], 3.25f);
  EXPECT_FLOAT_EQ(running_variance.values[0], 1.5f + 3.5f / 3);
  EXPECT_FLOAT_EQ(running_variance.values[1], 1.5f);
}

TEST_P(BatchNormOn, OneValueKeepsTheRunningVariance) {
  const Array<float> mean({1}, {3}), variance({1}, {0}), weight({1}, {1}), bias({1}, {0});
  Array<float> running_mean({1}, {1}), running_variance({1}, {0.7f}), scale({1}), shift({1});
  run(context, BatchNormAffine{.mean = mean,
                               .variance = variance,
                               .weight = weight,
                               .bias = bias,
                               .scale = scale,
                               .shift = shift,
                               .running = {.mean = running_mean, .variance = running_variance, .momentum = 0.5},
                               .count = 1});
  EXPECT_EQ(running_mean.values[0], 2);
  EXPECT_EQ(running_variance.values[0], 0.7f);
}

// Mean and variance of every channel against two passes in long double.
void expect_exact_statistics(const Context& context, const Array<float>& x) {
  const std::int64_t C = x.shape[-1], M = x.shape.size() / C;
  Array<float> mean({C}, kNan), variance({C}, kNan);
  run(context, BatchNormStatistics{.x = x, .mean = mean, .variance = variance});
  for (std::int64_t c = 0; c < C; ++c) {
    long double sum = 0, squares = 0;
    for (std::int64_t m = 0; m < M; ++m) sum += static_cast<long double>(x.values[static_cast<std::size_t>(m * C + c)]);
    const long double expected = sum / static_cast<long double>(M);
    for (std::int64_t m = 0; m < M; ++m) squares += std::pow(static_cast<long double>(x.values[static_cast<std::size_t>(m * C + c)]) - expected, 2.0L);
    const double expected_variance = static_cast<double>(squares) / static_cast<double>(M);
    const auto got = static_cast<std::size_t>(c);
    const double mean_error = std::abs(static_cast<double>(mean.values[got]) - static_cast<double>(expected));
    EXPECT_LE(mean_error, 1.2e-7 * std::abs(static_cast<double>(expected)) + 3e-6 * std::sqrt(expected_variance)) << "channel " << c;
    EXPECT_LE(std::abs(static_cast<double>(variance.values[got]) - expected_variance), 3e-6 * expected_variance + 1e-12) << "channel " << c;
  }
}

TEST_P(BatchNormOn, StatisticsHoldWhereTheMeanIsLarge) {
  expect_exact_statistics(context, filled({3000, 20}, [](std::int64_t i) { return 1e4 + noise(1, i); }));
  expect_exact_statistics(context, filled({70, 300}, [](std::int64_t i) { return -1e4 + noise(2, i); }));
}

TEST_P(BatchNormOn, StatisticsHoldWhereRowsRepeatWithAnyPeriod) {
  // Columns of an image, say: some rows lie far from the mean, and a sample of them could miss or hit them all.
  for (const std::int64_t period : {2, 8, 16, 32, 128, 1000}) {
    expect_exact_statistics(context, filled({4000, 3}, [=](std::int64_t i) { return (i / 3 % period ? 1 : 1000) + 0.01 * noise(3, i); }));
  }
}

TEST_P(BatchNormOn, StatisticsHoldWhereTheMeanDrifts) {
  expect_exact_statistics(context, filled({5000, 4}, [](std::int64_t i) { return 0.1 * static_cast<double>(i / 4) + noise(4, i); }));
}

TEST_P(BatchNormOn, AChannelOfOneValueHasVarianceZero) {
  for (const double value : {0.0, 0.1, -12345.678}) {
    const Array<float> x = filled({999, 17}, [=](std::int64_t) { return value; });
    Array<float> mean({17}), variance({17}, kNan);
    run(context, BatchNormStatistics{.x = x, .mean = mean, .variance = variance});
    for (std::size_t c = 0; c < 17; ++c) {
      EXPECT_FLOAT_EQ(mean.values[c], static_cast<float>(value));
      EXPECT_GE(variance.values[c], 0.0f);
      EXPECT_LE(variance.values[c], 1e-12 * value * value);
    }
  }
}

// ---- NaN ----

TEST_P(BatchNormOn, ANanStaysVisibleInItsChannelAlone) {
  Array<float> x = filled({300, 3}, [](std::int64_t i) { return noise(5, i); });
  x.values[3 * 200 + 1] = kNan;
  Array<float> mean({3}), variance({3}), y({300, 3});
  run(context, BatchNormStatistics{.x = x, .mean = mean, .variance = variance});
  const Array<float> weight({3}, 1.0f), bias({3});
  run(context, BatchNorm{.x = x, .mean = mean, .variance = variance, .weight = weight, .bias = bias, .relu = true, .y = y});
  for (std::size_t c = 0; c < 3; ++c) {
    EXPECT_EQ(std::isnan(mean.values[c]), c == 1);
    EXPECT_EQ(std::isnan(variance.values[c]), c == 1);
    EXPECT_EQ(std::isnan(y.values[c]), c == 1);
  }
}

// ---- shared memory ----

struct Step {
  Array<float> x = filled({60, 19}, [](std::int64_t i) { return noise(6, i); });
  Array<float> dy = filled({60, 19}, [](std::int64_t i) { return noise(7, i); });
  Array<float> residual = filled({60, 19}, [](std::int64_t i) { return noise(8, i); });
  Array<float> weight = filled({19}, [](std::int64_t i) { return 1 + 0.1 * noise(9, i); });
  Array<float> bias = filled({19}, [](std::int64_t i) { return noise(10, i); });
  Array<float> mean{{19}}, variance{{19}}, sum_dz{{19}}, sum_dz_x{{19}};
  Array<float> y{{60, 19}}, dx{{60, 19}}, dresidual{{60, 19}};

  BatchNorm forward() { return {.x = x, .mean = mean, .variance = variance, .weight = weight, .bias = bias, .residual = residual, .relu = true, .y = y}; }
  BatchNormBackward backward() {
    return {.dy = dy,
            .x = x,
            .y = y,
            .mean = mean,
            .variance = variance,
            .weight = weight,
            .sum_dz = sum_dz,
            .sum_dz_x = sum_dz_x,
            .dx = dx,
            .dresidual = dresidual};
  }
  explicit Step(const Context& context) {
    run(context, BatchNormStatistics{.x = x, .mean = mean, .variance = variance});
    run(context, forward());
    run(context, BatchNormBackwardReduce{.dy = dy, .x = x, .y = y, .mean = mean, .sum_dz = sum_dz, .sum_dz_x = sum_dz_x});
    run(context, backward());
  }
};

TEST_P(BatchNormOn, OutputsMayTakeTheMemoryOfInputs) {
  const Step apart(context);
  {
    Step shared(context);
    BatchNorm operation = shared.forward();
    operation.y = shared.x;
    run(context, operation);
    EXPECT_EQ(shared.x.values, apart.y.values) << "y is x";
  }
  {
    Step shared(context);
    BatchNorm operation = shared.forward();
    operation.y = shared.residual;
    run(context, operation);
    EXPECT_EQ(shared.residual.values, apart.y.values) << "y is residual";
  }
  {
    Step shared(context);
    BatchNormBackward operation = shared.backward();
    operation.dx = shared.dy;
    run(context, operation);
    EXPECT_EQ(shared.dy.values, apart.dx.values) << "dx is dy";
    EXPECT_EQ(shared.dresidual.values, apart.dresidual.values) << "dx is dy";
  }
  {
    Step shared(context);
    BatchNormBackward operation = shared.backward();
    operation.dresidual = shared.dy;
    run(context, operation);
    EXPECT_EQ(shared.dx.values, apart.dx.values) << "dresidual is dy";
    EXPECT_EQ(shared.dy.values, apart.dresidual.values) << "dresidual is dy";
  }
}

// ---- types ----

TEST(BatchNormReference, Bf16ActivationsBesideF32Parameters) {
  const Context context(Device::reference);
  Array<bf16> x({50, 3}), y({50, 3});
  Array<float> same({50, 3}), expected({50, 3});
  for (std::size_t i = 0; i < 150; ++i) {
    x.values[i] = bf16(static_cast<float>(noise(11, static_cast<std::int64_t>(i))));
    same.values[i] = static_cast<float>(x.values[i]);
  }
  Array<float> mean({3}), variance({3}), weight({3}, 1.5f), bias({3}, 0.25f);
  run(context, BatchNormStatistics{.x = x, .mean = mean, .variance = variance});
  run(context, BatchNorm{.x = x, .mean = mean, .variance = variance, .weight = weight, .bias = bias, .y = y});
  run(context, BatchNorm{.x = same, .mean = mean, .variance = variance, .weight = weight, .bias = bias, .y = expected});
  EXPECT_EQ(difference(y, expected, 1.0 / 256), "");
  EXPECT_NE(difference(y, expected, 1e-4), "") << "y was rounded to bf16";
}

// ---- messages ----

TEST(BatchNormChecks, SayWhatWasGotAndExpected) {
  const Context context(Device::cpu, 1);
  const auto message = [&](const auto& operation) { return thrown_by([&] { run(context, operation); }); };
  Array<float> x({4, 2}), y({4, 2}), other({2, 4}), vector({4}), two({2}), three({3});
  Array<double> doubles({4, 2}), two_doubles({2});
  const BatchNorm good{.x = x, .mean = two, .variance = two, .weight = two, .bias = two, .y = y};
  const auto with = [](auto operation, const auto& change) {
    change(operation);
    return operation;
  };

  EXPECT_EQ(message(BatchNormStatistics{.x = {}, .mean = two, .variance = two}), "[batch_norm_statistics] x was not given");
  EXPECT_EQ(message(BatchNormStatistics{.x = vector, .mean = two, .variance = two}), "[batch_norm_statistics] x is (4), expected at least 2 extents: (...,C)");
  EXPECT_EQ(message(BatchNormStatistics{.x = x, .mean = three, .variance = two}), "[batch_norm_statistics] mean is (3), expected (2): the channels of x (4,2)");
  EXPECT_EQ(message(BatchNormStatistics{.x = x, .mean = two, .variance = {}}),
            "[batch_norm_statistics] variance was not given, expected (2): the channels of x (4,2)");
  EXPECT_EQ(message(BatchNormStatistics{.x = x, .mean = two, .variance = two_doubles}), "[batch_norm_statistics] variance is f64, expected f32");
  EXPECT_EQ(message(BatchNormStatistics{.x = doubles, .mean = two_doubles, .variance = two_doubles}),
            "[batch_norm_statistics] the cpu device computes in f32, got f64; use --device reference for f64, --device cuda for bf16");

  EXPECT_EQ(message(with(good, [&](auto& op) { op.y = other; })), "[batch_norm] y is (2,4), expected (4,2): the shape of x");
  EXPECT_EQ(message(with(good, [&](auto& op) { op.residual = other; })), "[batch_norm] residual is (2,4), expected (4,2): the shape of x");
  EXPECT_EQ(message(with(good, [&](auto& op) { op.residual = doubles; })), "[batch_norm] residual is f64, expected f32");
  EXPECT_EQ(message(with(good, [&](auto& op) { op.epsilon = 0; })), "[batch_norm] epsilon is 0, expected more than 0");
  EXPECT_EQ(message(with(good, [&](auto& op) { op.weight = {}; })), "[batch_norm] weight was not given, expected (2): the channels of x (4,2)");

  Array<float> another({2});
  const BatchNormAffine affine{
      .mean = two, .variance = two, .weight = two, .bias = two, .scale = two, .shift = two, .running = {.mean = another, .variance = another}, .count = 4};
  EXPECT_EQ(message(with(affine, [&](auto& op) { op.count = 0; })), "[batch_norm_affine] count is 0, expected the number of values of a channel, 1 or more");
  EXPECT_EQ(message(with(affine, [&](auto& op) { op.running.momentum = 1.5; })), "[batch_norm_affine] running.momentum is 1.5, expected 0 to 1");
  EXPECT_EQ(message(with(affine, [&](auto& op) { op.running.mean = three; })), "[batch_norm_affine] running.mean is (3), expected (2): the shape of mean");
  EXPECT_EQ(message(with(affine, [&](auto& op) { op.running.mean = {}; })),
            "[batch_norm_affine] running.mean and .variance come together or not at all, got one");
  EXPECT_EQ(message(with(affine, [&](auto& op) { op.running.variance = two; })),
            "[batch_norm_affine] running.variance is also what it is to follow: the batch's mean or variance");
  EXPECT_EQ(message(with(good, [&](auto& op) { op.running = {.mean = three, .variance = two}; })),
            "[batch_norm] running.mean is (3), expected (2): the shape of mean");

  const BatchNormBackwardReduce reduce{.dy = y, .x = x, .mean = two, .sum_dz = two, .sum_dz_x = two};
  EXPECT_EQ(message(with(reduce, [&](auto& op) { op.dy = other; })), "[batch_norm_backward_reduce] dy is (2,4), expected (4,2): the shape of x");
  EXPECT_EQ(message(with(reduce, [&](auto& op) { op.sum_dz = three; })), "[batch_norm_backward_reduce] sum_dz is (3), expected (2): the channels of x (4,2)");

  Array<float> dy({4, 2});
  const BatchNormBackward backward{.dy = dy, .x = x, .mean = two, .variance = two, .weight = two, .sum_dz = two, .sum_dz_x = two, .dx = y};
  EXPECT_EQ(message(with(backward, [&](auto& op) { op.dresidual = op.dx; })),
            "[batch_norm_backward] dresidual and dx are the same memory; only one of them may be dy");
  EXPECT_EQ(message(with(backward, [&](auto& op) { op.addend = other; })), "[batch_norm_backward] addend is (2,4), expected (4,2): the shape of x");
  EXPECT_EQ(message(with(backward, [&](auto& op) { op.addend = op.y = dy; })), "[batch_norm_backward] addend was given beside y, expected only one of them");
  EXPECT_EQ(message(with(backward, [&](auto& op) { op.dweight = three; })), "[batch_norm_backward] dweight is (3), expected (2): the channels of x (4,2)");
  EXPECT_EQ(message(backward), "nothing was thrown");
}

}  // namespace
}  // namespace isda::kernels
