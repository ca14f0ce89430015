// SPDX-License-Identifier: Apache-2.0
// The checker checked: every parity test rests on `difference`, so it must fail whatever a wrong kernel could hand it.
#include "tests/kernels/checker.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <utility>

#include "kernels/common/philox.h"
#include "tests/kernels/array.h"

namespace isda {
namespace {

constexpr double kTolerance = 1e-5;

// 4 x 4 different numbers of magnitude 1 to 2.
Array<float> numbers() {
  Array<float> array({4, 4});
  for (std::size_t i = 0; i < array.values.size(); ++i) {
    const auto word = philox(1, RandomStream::test, 0, i)[0];
    array.values[i] = (1 + uniform_float(word)) * (word % 2 ? 1.0f : -1.0f);
  }
  return array;
}

TEST(Difference, PassesEqualArrays) { EXPECT_EQ(difference(numbers(), numbers(), 0), ""); }

TEST(Difference, PassesWithinTolerance) {
  Array<float> actual = numbers();
  for (auto& value : actual.values) value += 0.9e-5f;
  EXPECT_EQ(difference(actual, numbers(), kTolerance), "");
}

TEST(Difference, ComparesFloatsOfDifferentTypes) {
  const Array<double> expected({2}, {1.5, -2});
  const Array<bf16> actual({2}, {bf16(1.5f), bf16(-2.0f)});
  EXPECT_EQ(difference(actual, expected, 0), "");
}

TEST(LargestError, IsAShareOfTheLargestMagnitude) {
  const Array<double> expected({3}, {4, -8, 0});
  EXPECT_EQ(largest_error(expected, expected), 0);
  EXPECT_EQ(largest_error(Array<double>({3}, {4.5, -8, 0.25}), expected), 0.5 / 8);
  EXPECT_EQ(largest_error(Array<double>({3}, {4, -8, -1}), expected), 1.0 / 8);
  EXPECT_EQ(largest_error(Array<double>({1}, {1e-30}), Array<double>({1}, {0})), std::numeric_limits<double>::infinity());
  EXPECT_EQ(largest_error(Array<double>({1}, {std::nan("")}), Array<double>({1}, {1})), std::numeric_limits<double>::infinity());
  EXPECT_EQ(largest_error(Array<double>({1}, {1}), Array<double>({1}, {std::nan("")})), std::numeric_limits<double>::infinity());
}

TEST(LargestError, IsAShareOfTheUsualMagnitudeWhereThatIsLarger) {
  const Array<double> expected({1}, {1e-6}), actual({1}, {2e-6});
  EXPECT_EQ(largest_error(actual, expected), 1);
  EXPECT_EQ(largest_error(actual, expected, 1e-8), 1);
  EXPECT_EQ(largest_error(actual, expected, 4), (2e-6 - 1e-6) / 4);
  EXPECT_NE(difference(actual, expected, kTolerance), "");
  EXPECT_NE(difference(actual, expected, kTolerance, 1e-3), "");
  EXPECT_EQ(difference(actual, expected, kTolerance, 1), "");
  EXPECT_NE(difference(Array<double>({1}, {std::nan("")}), expected, kTolerance, 1), "");
  EXPECT_EQ(largest_magnitude(Array<double>({3}, {4, -8, 0})), 8);
}

TEST(Difference, FailsANan) {
  for (std::size_t i = 0; i < 16; ++i) {
    Array<float> actual = numbers();
    actual.values[i] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_NE(difference(actual, numbers(), kTolerance), "") << i;
    EXPECT_NE(difference(actual, numbers(), 1e30), "") << i;
    EXPECT_NE(difference(numbers(), actual, kTolerance), "") << "expected has a NaN at " << i;
    EXPECT_NE(difference(actual, actual, kTolerance), "") << "both have a NaN at " << i;
  }
}

TEST(Difference, FailsAnInfinity) {
  for (const float infinity : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    Array<float> actual = numbers();
    actual.values[5] = infinity;
    EXPECT_NE(difference(actual, numbers(), 1e30), "");
    EXPECT_NE(difference(numbers(), actual, 1e30), "");
    EXPECT_NE(difference(actual, actual, kTolerance), "");
  }
}

TEST(Difference, FailsAShiftByOne) {
  Array<float> actual = numbers();
  std::rotate(actual.values.begin(), actual.values.begin() + 1, actual.values.end());
  EXPECT_NE(difference(actual, numbers(), kTolerance), "");
}

TEST(Difference, FailsASwappedAxis) {
  const Array<float> expected = numbers();
  Array<float> actual = numbers();
  for (std::size_t row = 0; row < 4; ++row) {
    for (std::size_t column = 0; column < 4; ++column) actual.values[row * 4 + column] = expected.values[column * 4 + row];
  }
  EXPECT_NE(difference(actual, expected, kTolerance), "");
}

TEST(Difference, FailsOneWrongElementWhereverItIs) {
  for (std::size_t i = 0; i < 16; ++i) {
    Array<float> actual = numbers();
    actual.values[i] += 1e-4f;
    EXPECT_NE(difference(actual, numbers(), kTolerance), "") << i;
  }
}

TEST(Difference, FailsAWrongSign) {
  Array<float> actual = numbers();
  for (auto& value : actual.values) value = -value;
  EXPECT_NE(difference(actual, numbers(), kTolerance), "");
}

TEST(Difference, FailsZerosForNumbersAndNumbersForZeros) {
  const Array<float> zeros({4, 4});
  EXPECT_NE(difference(zeros, numbers(), kTolerance), "");
  Array<float> nearly_zeros({4, 4}, 1e-30f);
  EXPECT_NE(difference(nearly_zeros, zeros, kTolerance), "") << "where all expected values are 0, only 0 is right";
}

TEST(Difference, FailsAnotherShapeOfTheSameNumbers) {
  Array<float> actual = numbers();
  for (const Shape& shape : {Shape{16}, Shape{2, 8}, Shape{4, 4, 1}, Shape{4, 3}}) {
    actual.shape = shape;
    EXPECT_EQ(difference(actual, numbers(), kTolerance), fmt::format("shape {}, expected (4,4)", shape));
  }
}

TEST(Difference, ComparesIntegersExactly) {
  const Array<std::int32_t> expected({3}, {1000000, 7, -2});
  Array<std::int32_t> actual = expected;
  EXPECT_EQ(difference(actual, expected, 0), "");
  actual.values[1] = 8;
  EXPECT_NE(difference(actual, expected, 1), "") << "a tolerance is for floats";
}

TEST(Difference, NamesTheWorstElement) {
  Array<float> expected({2, 3}, {1, 2, 4, 1, 2, 3}), actual = expected;
  actual.values[1] = 2.5f;
  actual.values[5] = 4;
  EXPECT_EQ(difference(actual, expected, kTolerance), "4 at (1,2), expected 3: error 0.25 of the largest magnitude 4, allowed 1e-05");
}

}  // namespace
}  // namespace isda
