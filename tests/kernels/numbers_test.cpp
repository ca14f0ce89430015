// SPDX-License-Identifier: Apache-2.0
// Philox against its authors' numbers, and moments against two passes in long double.
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

#include "kernels/common/moments.h"
#include "kernels/common/philox.h"

namespace isda {
namespace {

// ---- Philox ----

// The known answers that Salmon et al. publish with Random123 (kat_vectors, "philox4x32 10").
TEST(Philox, GivesThePublishedNumbers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, IsAConstantExpression) {
  constexpr PhiloxCounter words = philox({0, 0, 0, 0}, {0, 0});
  static_assert(words[0] == 0x6627e8d5);
}

TEST(Philox, EveryPartOfThePositionAndTheSeedCounts) {
  std::set<PhiloxCounter> drawn;
  const std::uint64_t high = std::uint64_t{1} << 40;
  drawn.insert(philox(1, RandomStream::test, 2, 3));
  drawn.insert(philox(2, RandomStream::test, 2, 3));
  drawn.insert(philox(1 + high, RandomStream::test, 2, 3));
  drawn.insert(philox(1, RandomStream::dropout, 2, 3));
  drawn.insert(philox(1, RandomStream::test, 3, 2));
  drawn.insert(philox(1, RandomStream::test, 2 + high, 3));
  drawn.insert(philox(1, RandomStream::test, 2, 3 + high));
  EXPECT_EQ(drawn.size(), 7u);
}

TEST(Philox, UniformNumbersAreBelowOneAndBelowCount) {
  EXPECT_EQ(uniform_float(0), 0.0f);
  EXPECT_LT(uniform_float(0xffffffff), 1.0f);
  EXPECT_EQ(uniform_float(0x80000000), 0.5f);
  EXPECT_EQ(uniform_below(0, 10), 0u);
  EXPECT_EQ(uniform_below(0xffffffff, 10), 9u);
  EXPECT_EQ(uniform_below(0xffffffff, 1), 0u);
  // Every tenth is met about as often.
  std::array<int, 10> met{};
  for (std::uint64_t i = 0; i < 25000; ++i) {
    for (const auto word : philox(9, RandomStream::test, 0, i)) ++met[uniform_below(word, 10)];
  }
  for (const int count : met) EXPECT_NEAR(count, 10000, 500);  // 5 deviations
}

// ---- moments ----

struct TwoPass {
  long double mean = 0, m2 = 0;

  explicit TwoPass(const std::vector<double>& values) {
    for (const double value : values) mean += static_cast<long double>(value);
    mean /= static_cast<long double>(values.size());
    for (const double value : values) m2 += (static_cast<long double>(value) - mean) * (static_cast<long double>(value) - mean);
  }
};

// Deviation 1 around a mean of a hundred million: E[x^2] - E[x]^2 in double would have no digit right.
std::vector<double> values_around(double mean) {
  std::vector<double> values;
  for (std::uint64_t i = 0; i < 10000; ++i) values.push_back(mean + 3.4 * (static_cast<double>(uniform_float(philox(4, RandomStream::test, 0, i)[0])) - 0.5));
  return values;
}

TEST(MomentsOf, AgreeWithTwoPasses) {
  for (const double mean : {0.0, -3.0, 1e8}) {
    const std::vector<double> values = values_around(mean);
    const TwoPass expected(values);
    Moments<double> moments;
    for (const double value : values) moments.add(value);
    EXPECT_EQ(moments.count, 10000);
    EXPECT_NEAR(moments.mean, static_cast<double>(expected.mean), 1e-14 * std::abs(mean) + 1e-13);
    EXPECT_NEAR(moments.m2 / static_cast<double>(expected.m2), 1, 1e-8);
  }
}

TEST(MomentsOf, MergeInGroupsOfAnySize) {
  for (const double mean : {0.0, 1e8}) {
    const std::vector<double> values = values_around(mean);
    const TwoPass expected(values);
    Moments<double> total;
    std::size_t next = 0;
    for (std::size_t size = 0; next < values.size(); size = size * 2 + 1) {  // 0, 1, 3, 7, ...
      Moments<double> group;
      for (std::size_t i = 0; i < size && next < values.size(); ++i) group.add(values[next++]);
      total.merge(group);
    }
    EXPECT_EQ(total.count, 10000);
    EXPECT_NEAR(total.mean, static_cast<double>(expected.mean), 1e-14 * std::abs(mean) + 1e-13);
    EXPECT_NEAR(total.m2 / static_cast<double>(expected.m2), 1, 1e-8);
  }
}

TEST(MomentsOf, GroupsThatLieApart) {
  // 0 0 and 6 6 6: the spread is between the groups alone.
  Moments<double> low, high;
  for (int i = 0; i < 2; ++i) low.add(0);
  for (int i = 0; i < 3; ++i) high.add(6);
  low.merge(high);
  EXPECT_DOUBLE_EQ(low.mean, 3.6);
  EXPECT_DOUBLE_EQ(low.m2, 2 * 3.6 * 3.6 + 3 * 2.4 * 2.4);
  EXPECT_DOUBLE_EQ(low.variance(), low.m2 / 5);
  EXPECT_DOUBLE_EQ(low.unbiased_variance(), low.m2 / 4);
}

TEST(MomentsOf, NothingAddedChangesNothing) {
  Moments<double> moments, nothing;
  moments.add(5);
  moments.merge(nothing);
  EXPECT_EQ(moments.count, 1);
  EXPECT_EQ(moments.mean, 5);
  nothing.merge(moments);
  EXPECT_EQ(nothing.mean, 5);
  EXPECT_EQ(nothing.m2, 0);
}

}  // namespace
}  // namespace isda
