// SPDX-License-Identifier: Apache-2.0
// Eigenvectors by Jacobi rotations: what they are, in which order pairs meet, and where eigenvalues are put.
#include "kernels/isda/jacobi.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <vector>

namespace isda::kernels::jacobi {
namespace {

// B B^T of n random rows of `width`: of rank min(n,width).
std::vector<double> gram(int n, int width, double scale = 1) {
  std::mt19937_64 random(static_cast<std::uint64_t>(n * 1000 + width));
  std::normal_distribution<double> normal;
  std::vector<double> rows(static_cast<std::size_t>(n * width)), g(static_cast<std::size_t>(n * n), 0.0);
  for (double& value : rows) value = scale * normal(random);
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      for (int k = 0; k < width; ++k)
        g[static_cast<std::size_t>(i * n + j)] += rows[static_cast<std::size_t>(i * width + k)] * rows[static_cast<std::size_t>(j * width + k)];
    }
  }
  return g;
}

void expect_eigenvectors(const std::vector<double>& g, int n) {
  std::vector<double> lambda = g, e(g.size());
  diagonalise(n, lambda.data(), e.data());
  double trace = 0;
  for (int i = 0; i < n; ++i) trace += g[static_cast<std::size_t>(i * (n + 1))];
  const auto at = [&](const std::vector<double>& matrix, int i, int j) { return matrix[static_cast<std::size_t>(i * n + j)]; };
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      double product = 0, of_g = 0;
      for (int k = 0; k < n; ++k) {
        product += at(e, i, k) * at(e, j, k);
        for (int l = 0; l < n; ++l) of_g += at(e, i, k) * at(g, k, l) * at(e, j, l);
      }
      ASSERT_NEAR(product, i == j ? 1 : 0, 1e-14) << n << ": " << i << " " << j;
      ASSERT_NEAR(of_g, i == j ? at(lambda, i, i) : 0, 2e-15 * n * trace) << n << ": " << i << " " << j;
    }
  }
}

TEST(Jacobi, FindsTheEigenvectors) {
  for (const int n : {1, 2, 3, 4, 7, 12, 33, 50}) {
    expect_eigenvectors(gram(n, 2 * n), n);
    expect_eigenvectors(gram(n, 1), n);          // of rank 1
    expect_eigenvectors(gram(n, n, 1e-150), n);  // tiny
    expect_eigenvectors(gram(n, n / 2 + 1), n);
    expect_eigenvectors(std::vector<double>(static_cast<std::size_t>(n * n), 0.0), n);
    expect_eigenvectors(std::vector<double>(static_cast<std::size_t>(n * n), 1.0), n);
  }
}

TEST(Jacobi, EndsWhateverIsInTheMatrix) {
  std::vector<double> g = gram(6, 9), e(g.size());
  g[2 * 6 + 3] = g[3 * 6 + 2] = std::numeric_limits<double>::quiet_NaN();
  diagonalise(6, g.data(), e.data());
  std::vector<double> infinite(16, std::numeric_limits<double>::infinity());
  diagonalise(4, infinite.data(), e.data());
}

TEST(Jacobi, EveryPairMeetsOnceASweepAndNobodyTwiceARound) {
  for (int n = 1; n <= 23; ++n) {
    std::set<std::pair<int, int>> met;
    for (int round = 0; round < rounds_of(n); ++round) {
      std::set<int> busy;
      for (int index = 0; index < pairs_of(n); ++index) {
        const auto [p, q] = pair_of(round, index, n);
        ASSERT_LT(p, q);
        ASSERT_LE(q, n);
        EXPECT_TRUE(busy.insert(p).second && busy.insert(q).second) << n << ": " << round << " " << index;
        if (q == n) continue;
        EXPECT_TRUE(met.insert({p, q}).second) << n << ": " << p << " " << q;
      }
    }
    EXPECT_EQ(met.size(), static_cast<std::size_t>(n * (n - 1) / 2));
  }
}

TEST(Jacobi, EveryPlaceIsTakenOnce) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), infinity = std::numeric_limits<double>::infinity();
  const std::vector<double> values = {1, nan, 2, 2, -0.0, 0.0, infinity, nan, -1e-9, 2};
  const std::vector<int> expected = {6, 0, 3, 4, 7, 8, 2, 1, 9, 5};
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(place_of([&](int k) { return values[static_cast<std::size_t>(k)]; }, i, 10), expected[static_cast<std::size_t>(i)]) << i;
  }
}

}  // namespace
}  // namespace isda::kernels::jacobi
