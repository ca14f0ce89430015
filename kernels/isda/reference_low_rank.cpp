// SPDX-License-Identifier: Apache-2.0
// The update of a covariance of low rank, as low_rank.h defines it.
#include <algorithm>
#include <cmath>

#include "kernels/common/view.h"
#include "kernels/isda/jacobi.h"
#include "kernels/isda/low_rank.h"

namespace isda::kernels::low_rank {

namespace {

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// The directions of class c, each times `scale`, behind `rows`.
void append_directions(Rows& rows, const View& covariance, std::int64_t c, double scale) {
  for (std::int64_t r = 1; r < covariance.extent(1); ++r) {
    auto& row = rows.emplace_back();
    for (std::int64_t a = 0; a < covariance.extent(2); ++a) row.push_back(scale * covariance.at(c, r, a));
  }
}

void write_directions(const View& covariance, std::int64_t c, const Rows& directions) {
  for (std::size_t r = 0; r < directions.size(); ++r) {
    for (std::size_t a = 0; a < directions[r].size(); ++a) covariance.set(directions[r][a], c, r + 1, a);
  }
}

}  // namespace

Directions keep_longest(const Rows& candidates, std::size_t R) {
  const std::size_t n = candidates.size(), A = candidates[0].size();
  std::vector<double> gram(n * n), e(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j) gram[i * n + j] = gram[j * n + i] = dot(candidates[i], candidates[j]);
  }
  jacobi::diagonalise(static_cast<int>(n), gram.data(), e.data());

  Directions result{Rows(R, std::vector<double>(A, 0.0)), std::vector<double>(A, 0.0)};
  const auto lambda = [&](int i) { return gram[static_cast<std::size_t>(i) * (n + 1)]; };
  for (std::size_t i = 0; i < n; ++i) {
    std::vector<double> row(A, 0.0);
    for (std::size_t k = 0; k < n; ++k) {
      for (std::size_t a = 0; a < A; ++a) row[a] += e[i * n + k] * candidates[k][a];
    }
    const auto place = static_cast<std::size_t>(jacobi::place_of(lambda, static_cast<int>(i), static_cast<int>(n)));
    if (place < R)
      result.longest[place] = row;
    else
      for (std::size_t a = 0; a < A; ++a) result.rest[a] += row[a] * row[a];
  }
  return result;
}

void add_terms(const View& covariance, std::int64_t c, double keep, const Rows& terms) {
  const std::int64_t R = covariance.extent(1) - 1, A = covariance.extent(2);
  Rows directions;
  append_directions(directions, covariance, c, std::sqrt(keep));
  std::vector<double> diagonal;
  for (std::int64_t a = 0; a < A; ++a) diagonal.push_back(keep * covariance.at(c, 0, a));
  for (std::size_t first = 0; first < terms.size(); first += kTermsAtOnce) {
    const std::size_t count = std::min<std::size_t>(kTermsAtOnce, terms.size() - first);
    for (std::size_t k = 0; k < count; ++k) directions.push_back(terms[first + k]);
    const Directions kept = keep_longest(directions, static_cast<std::size_t>(R));
    directions = kept.longest;
    for (std::size_t a = 0; a < diagonal.size(); ++a) diagonal[a] += kept.rest[a];
  }
  write_directions(covariance, c, directions);
  for (std::int64_t a = 0; a < A; ++a) covariance.set(diagonal[static_cast<std::size_t>(a)], c, 0, a);
}

void merge(const View& covariance, const View& other, std::int64_t c, double keep, double share, const std::vector<double>& z) {
  Rows candidates;
  append_directions(candidates, covariance, c, std::sqrt(keep));
  append_directions(candidates, other, c, std::sqrt(share));
  candidates.push_back(z);
  const Directions kept = keep_longest(candidates, static_cast<std::size_t>(covariance.extent(1) - 1));
  write_directions(covariance, c, kept.longest);
  for (std::size_t a = 0; a < z.size(); ++a) covariance.set(keep * covariance.at(c, 0, a) + share * other.at(c, 0, a) + kept.rest[a], c, 0, a);
}

}  // namespace isda::kernels::low_rank
