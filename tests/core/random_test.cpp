// SPDX-License-Identifier: Apache-2.0
// Random fills and permutations: the distributions, and that numbers depend on all of (seed, stream, array, element).
#include "core/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/tensor.h"

namespace isda {
namespace {

constexpr RandomStream kStream = RandomStream::test;

std::vector<double> normals(std::int64_t count, std::uint64_t seed, RandomStream stream, std::uint64_t array) {
  std::vector<double> values(static_cast<std::size_t>(count));
  fill_normal(View(values.data(), DType::f64, {count}), 1, seed, stream, array);
  return values;
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0) / static_cast<double>(a.size());
}

// The bounds are five standard errors of the sample's moment.
TEST(FillNormal, HasTheMomentsOfTheNormalDistribution) {
  constexpr std::int64_t kCount = 100'000;
  const auto values = normals(kCount, 1, kStream, 0);
  double moment[5] = {};
  for (const double value : values) {
    for (int power = 1; power <= 4; ++power) moment[power] += std::pow(value, power) / kCount;
  }
  const double error = 5 / std::sqrt(static_cast<double>(kCount));
  EXPECT_NEAR(moment[1], 0, error);
  EXPECT_NEAR(moment[2], 1, error * std::sqrt(2));
  EXPECT_NEAR(moment[3], 0, error * std::sqrt(15));
  EXPECT_NEAR(moment[4], 3, error * std::sqrt(96));

  // The share within one and two deviations.
  const auto within = [&](double bound) {
    return static_cast<double>(std::count_if(values.begin(), values.end(), [&](double value) { return std::abs(value) < bound; })) / kCount;
  };
  EXPECT_NEAR(within(1), std::erf(1 / std::sqrt(2)), error * 0.5);
  EXPECT_NEAR(within(2), std::erf(2 / std::sqrt(2)), error * 0.25);
}

TEST(FillNormal, ScalesByTheDeviation) {
  std::array<double, 100> one, three;
  fill_normal(View(one.data(), DType::f64, {100}), 1, 4, kStream, 2);
  fill_normal(View(three.data(), DType::f64, {100}), 3, 4, kStream, 2);
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_DOUBLE_EQ(three[i], 3 * one[i]);
}

TEST(FillNormal, DependsOnSeedStreamArrayAndElement) {
  constexpr std::int64_t kCount = 20'000;
  const auto base = normals(kCount, 1, kStream, 0);
  EXPECT_EQ(base, normals(kCount, 1, kStream, 0));
  const std::vector<std::vector<double>> others = {
      normals(kCount, 2, kStream, 0),
      normals(kCount, std::uint64_t{1} << 32 | 1, kStream, 0),
      normals(kCount, 1, RandomStream::initialisation, 0),
      normals(kCount, 1, RandomStream::dropout, 0),
      normals(kCount, 1, kStream, 1),
      normals(kCount, 1, kStream, std::uint64_t{1} << 32),
  };
  const double error = 5 / std::sqrt(static_cast<double>(kCount));
  for (std::size_t i = 0; i < others.size(); ++i) EXPECT_NEAR(correlation(base, others[i]), 0, error) << "case " << i;
  // Neighbours too.
  const std::vector<double> shifted(base.begin() + 1, base.end());
  EXPECT_NEAR(correlation({base.begin(), base.end() - 1}, shifted), 0, error);
}

TEST(FillNormal, AnElementDoesNotDependOnTheLength) {
  const auto few = normals(10, 1, kStream, 7), many = normals(1000, 1, kStream, 7);
  EXPECT_TRUE(std::equal(few.begin(), few.end(), many.begin()));
}

TEST(FillUniform, IsUniformOnTheHalfOpenRange) {
  constexpr std::int64_t kCount = 100'000;
  std::vector<double> values(kCount);
  fill_uniform(View(values.data(), DType::f64, {kCount}), -2, 6, 9, kStream, 0);
  std::array<double, 8> bins{};
  for (const double value : values) {
    ASSERT_GE(value, -2);
    ASSERT_LT(value, 6);
    bins[static_cast<std::size_t>(value + 2)] += 1;
  }
  // Chi squared with 7 degrees of freedom is above 35.3 once in 100,000 times.
  double chi_squared = 0;
  for (const double bin : bins) chi_squared += (bin - kCount / 8.0) * (bin - kCount / 8.0) / (kCount / 8.0);
  EXPECT_LT(chi_squared, 35.3);
}

TEST(Permutation, HoldsEveryNumberOnce) {
  for (const std::int64_t count : {0, 1, 2, 3, 10, 1000}) {
    auto order = permutation(count, 1, RandomStream::shuffle, 0);
    ASSERT_EQ(static_cast<std::int64_t>(order.size()), count);
    std::sort(order.begin(), order.end());
    for (std::int64_t i = 0; i < count; ++i) ASSERT_EQ(order[static_cast<std::size_t>(i)], i);
  }
}

TEST(Permutation, DependsOnSeedStreamAndPosition) {
  const auto base = permutation(1000, 1, RandomStream::shuffle, 0);
  EXPECT_EQ(base, permutation(1000, 1, RandomStream::shuffle, 0));
  const auto places_in_common = [&](const std::vector<std::int32_t>& other) {
    return std::inner_product(base.begin(), base.end(), other.begin(), 0, std::plus<>(), std::equal_to<>());
  };
  // Two random permutations agree in one place on average; ten is beyond a chance of one in a million.
  EXPECT_LT(places_in_common(permutation(1000, 1, RandomStream::shuffle, 1)), 10);
  EXPECT_LT(places_in_common(permutation(1000, 2, RandomStream::shuffle, 0)), 10);
  EXPECT_LT(places_in_common(permutation(1000, 1, kStream, 0)), 10);
  std::vector<std::int32_t> in_order(1000);
  std::iota(in_order.begin(), in_order.end(), 0);
  EXPECT_LT(places_in_common(in_order), 10);
}

TEST(Permutation, EveryOrderIsEquallyLikely) {
  // The 24 orders of four elements over 24,000 positions: chi squared with 23 degrees of freedom is above 65 once in 100,000 times.
  std::vector<double> counts(256);
  for (std::uint64_t position = 0; position < 24'000; ++position) {
    const auto order = permutation(4, 1, RandomStream::shuffle, position);
    counts[static_cast<std::size_t>(order[0] * 64 + order[1] * 16 + order[2] * 4 + order[3])] += 1;
  }
  double chi_squared = 0;
  int orders = 0;
  for (const double count : counts) {
    if (count == 0) continue;
    ++orders;
    chi_squared += (count - 1000) * (count - 1000) / 1000;
  }
  EXPECT_EQ(orders, 24);
  EXPECT_LT(chi_squared, 65);
}

}  // namespace
}  // namespace isda
