// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/divisor.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace isda {
namespace {

void expect_exact(int n, int d) {
  int quotient = n;
  const int remainder = Divisor(d).divide(quotient);
  ASSERT_EQ(quotient, n / d) << n << " by " << d;
  ASSERT_EQ(remainder, n % d) << n << " by " << d;
}

TEST(Divisor, IsExactForSmallNumbers) {
  for (int d = 1; d <= 130; ++d) {
    for (int n = 0; n <= 1000; ++n) expect_exact(n, d);
  }
}

// Where a multiplier that is rounded fails first: just below and at the multiples of d, up to the largest n.
TEST(Divisor, IsExactAboutMultiples) {
  constexpr int kMost = std::numeric_limits<int>::max();
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    const int d = 1 + static_cast<int>(random() >> (1 + random() % 31)) % kMost;
    const int multiple = kMost / d - static_cast<int>(random() % static_cast<unsigned>(kMost / d)) / (1 + round % 3);
    for (const int n : {multiple * d - 1, multiple * d, kMost, kMost / d * d - 1}) expect_exact(n < 0 ? 0 : n, d);
  }
}

TEST(Divisor, TakesTheLargestDivisor) {
  constexpr int kMost = std::numeric_limits<int>::max();
  for (const int d : {kMost, kMost - 1, 1 << 30, (1 << 30) + 1, (1 << 30) - 1}) {
    for (const int n : {0, 1, d - 1, d, kMost}) expect_exact(n, d);
  }
}

}  // namespace
}  // namespace isda
