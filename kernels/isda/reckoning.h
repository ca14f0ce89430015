// SPDX-License-Identifier: Apache-2.0
// The sizes of ISDA's operations as real numbers, from which their costs are reckoned.
#pragma once
#include <cmath>

#include "kernels/isda/covariance_kind.h"

namespace isda::kernels {

// How many of C classes have a label among N drawn evenly.
// NOTE: not counted from the labels, which may be in the memory of a device.
inline double expected_present(double N, double C) { return C * (1 - std::pow(1 - 1 / C, N)); }

struct Reckoning {
  double N, A, C, K, S;  // S: elements of one class's covariance
  double element;        // bytes of one parameter
  CovarianceKind kind;
  double R;  // directions, when low rank

  Reckoning(std::int64_t samples, const ConstView& covariance)
      : N(static_cast<double>(samples)),
        A(static_cast<double>(covariance.extent(-1))),
        C(static_cast<double>(covariance.extent(0))),
        K(expected_present(N, C)),
        S(static_cast<double>(covariance.size()) / C),
        element(static_cast<double>(size_of(covariance.type()))),
        kind(kind_of(covariance)),
        R(kind == CovarianceKind::low_rank ? static_cast<double>(directions_of(covariance)) : 0) {}

  bool is_full() const { return kind == CovarianceKind::full; }
  double update_flop() const {
    if (kind != CovarianceKind::low_rank) return 2 * (N + 2 * K) * S;
    // The Gram matrix, its rotations and the rotated candidates of a class with as many samples as others.
    const double n = R + N / K + 1;
    return K * (4 * n * n * A + 30 * n * n * n);
  }
  double multiply_flop() const { return is_full() ? 2 * K * C * S + 3 * K * C * A : (4 + 2 * R) * K * C * A; }
  double forward_flop() const { return 2 * N * C * A + multiply_flop(); }
  double backward_flop() const { return 4 * N * C * A + (is_full() ? 4 : 7 + 2 * R) * K * C * A; }
  double logits() const { return element * N * C; }
  double u() const { return element * K * C * (is_full() ? A : R); }
};

}  // namespace isda::kernels
