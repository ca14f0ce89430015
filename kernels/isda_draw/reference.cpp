// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "kernels/common/check.h"
#include "kernels/isda_draw/isda_draw.h"

namespace isda::kernels {

namespace {

using Matrix = std::vector<std::vector<double>>;

double normal_number(const IsdaDraw& op, std::int64_t draw, std::int64_t k) {
  const PhiloxCounter words = words_of_draw(op.seed, static_cast<std::int32_t>(op.step.at(0)), draw, k / 4);
  const auto pair = static_cast<std::size_t>(k % 4 / 2 * 2);
  // NOTE: from above 0 to 1, for the logarithm's sake.
  const double radius = std::sqrt(-2 * std::log(static_cast<double>((words[pair] >> 8) + 1) * 0x1p-24));
  const double angle = 2 * std::numbers::pi * static_cast<double>(words[pair + 1] >> 8) * 0x1p-24;
  return radius * (k % 2 == 0 ? std::cos(angle) : std::sin(angle));
}

// L of S_c = L L^T, a column after the other.
Matrix factor_of(const ConstView& covariance, std::int64_t c) {
  const auto A = static_cast<std::size_t>(covariance.extent(1));
  Matrix L(A, std::vector<double>(A, 0.0));
  double largest = 0;
  for (std::size_t a = 0; a < A; ++a) largest = std::max(largest, covariance.at(c, a, a));
  for (std::size_t k = 0; k < A; ++k) {
    for (std::size_t a = k; a < A; ++a) {
      double left = covariance.at(c, a, k);
      for (std::size_t i = 0; i < k; ++i) left -= L[a][i] * L[k][i];
      L[a][k] = left;
    }
    const double pivot = L[k][k];
    for (std::size_t a = k; a < A; ++a) L[a][k] = pivot > least_pivot(covariance.extent(1)) * largest ? L[a][k] / std::sqrt(pivot) : 0;
  }
  return L;
}

}  // namespace

void run(Reference, const Context&, const IsdaDraw& op) {
  const auto [N, A] = op.features.extents<2>();
  const std::int64_t C = op.covariance.extent(0);
  check_labels(op.name, op.labels, C);
  const bool is_full = kernels::is_full(op.covariance), is_low_rank = kernels::is_low_rank(op.covariance);
  const std::int64_t R = is_low_rank ? directions_of(op.covariance) : 0;
  std::vector<Matrix> factors(static_cast<std::size_t>(C));
  for (std::int64_t i = 0; i < N; ++i) {
    const auto c = static_cast<std::int64_t>(op.labels.at(i));
    Matrix& L = factors[static_cast<std::size_t>(c)];
    if (is_full && L.empty()) L = factor_of(op.covariance, c);
    for (std::int64_t draw = i * op.draws; draw < (i + 1) * op.draws; ++draw) {
      for (std::int64_t a = 0; a < A; ++a) {
        double x = 0;
        if (is_full) {
          for (std::int64_t k = 0; k <= a; ++k) x += L[static_cast<std::size_t>(a)][static_cast<std::size_t>(k)] * normal_number(op, draw, k);
        } else {
          const double variance = is_low_rank ? op.covariance.at(c, 0, a) : op.covariance.at(c, a);
          x = std::sqrt(variance) * normal_number(op, draw, first_of_diagonal(R) + a);
          for (std::int64_t r = 0; r < R; ++r) x += op.covariance.at(c, 1 + r, a) * normal_number(op, draw, r);
        }
        op.drawn.set(op.features.at(i, a) + std::sqrt(op.ratio.at(0)) * x, draw, a);
      }
      op.labels_of_drawn.set(static_cast<double>(c), draw);
    }
  }
  op.step.set(op.step.at(0) + 1, 0);
}

void run(Reference, const Context&, const IsdaDrawBackward& op) {
  const auto [N, A] = op.dfeatures.extents<2>();
  const std::int64_t M = op.ddrawn.extent(0) / N;
  for (std::int64_t i = 0; i < N; ++i) {
    for (std::int64_t a = 0; a < A; ++a) {
      double sum = 0;
      for (std::int64_t m = 0; m < M; ++m) sum += op.ddrawn.at(i * M + m, a);
      op.dfeatures.set(sum, i, a);
    }
  }
}

}  // namespace isda::kernels
