// SPDX-License-Identifier: Apache-2.0
#include "kernels/isda/jacobi.h"

#include <algorithm>
#include <cmath>

namespace isda::kernels::jacobi {

namespace {

// Rows p and q of a matrix of n columns.
void turn_rows(const Rotation<double>& rotation, int n, double* row_p, double* row_q) {
#pragma omp simd
  for (int k = 0; k < n; ++k) rotation.turn(row_p[k], row_q[k]);
}

}  // namespace

void diagonalise(int n, double* g, double* e, double small) {
  std::fill_n(e, std::int64_t{n} * n, 0.0);
  double trace = 0;
  for (int i = 0; i < n; ++i) {
    e[i * n + i] = 1;
    trace += g[i * n + i];
  }
  const double least = small * trace / n;
  const auto sweep = [=] {
    bool has_turned = false;
    for (int round = 0; round < rounds_of(n); ++round) {
      for (int index = 0; index < pairs_of(n); ++index) {
        const auto [p, q] = pair_of(round, index, n);
        if (q == n) continue;
        double *row_p = g + p * n, *row_q = g + q * n;
        const double pp = row_p[p], qq = row_q[q], pq = row_p[q];
        const auto rotation = rotation_of(pp, qq, pq, least, [](double x) { return std::sqrt(x); });
        if (rotation.s == 0) continue;
        has_turned = true;
        // The rows; the columns are the same by symmetry.
        turn_rows(rotation, n, row_p, row_q);
        for (int k = 0; k < n; ++k) {
          g[k * n + p] = row_p[k];
          g[k * n + q] = row_q[k];
        }
        row_p[p] = pp - rotation.t * pq;
        row_q[q] = qq + rotation.t * pq;
        row_p[q] = row_q[p] = 0;
        turn_rows(rotation, n, e + p * n, e + q * n);
      }
    }
    return has_turned;
  };
  for (int count = 0; count < kMostSweeps && sweep(); ++count) {
  }
}

}  // namespace isda::kernels::jacobi
