// SPDX-License-Identifier: Apache-2.0
// What the shape of the class covariances says they are.
#pragma once
#include <cstdint>

#include "kernels/common/view.h"

namespace isda::kernels {

// full       (C,A,A)    S_c
// diagonal   (C,A)      the diagonal of S_c
// low_rank   (C,1+R,A)  with R >= 1 and 1+R < A: S_c = diag(d_c) + V_c^T V_c, row 0 is d_c >= 0, the others are the directions V_c
enum class CovarianceKind : std::uint8_t { full, diagonal, low_rank };

// Whether this can be the shape of a low-rank covariance of so many features.
inline bool is_low_rank_shape(const Shape& shape, std::int64_t features) {
  return shape.rank() == 3 && shape[2] == features && shape[1] > 1 && shape[1] < features;
}

inline CovarianceKind kind_of(const ConstView& covariance) {
  if (covariance.shape().rank() == 2) return CovarianceKind::diagonal;
  return covariance.extent(1) == covariance.extent(2) ? CovarianceKind::full : CovarianceKind::low_rank;
}
inline bool is_full(const ConstView& covariance) { return kind_of(covariance) == CovarianceKind::full; }
inline bool is_diagonal(const ConstView& covariance) { return kind_of(covariance) == CovarianceKind::diagonal; }
inline bool is_low_rank(const ConstView& covariance) { return kind_of(covariance) == CovarianceKind::low_rank; }

// R, the directions of a low-rank covariance.
inline std::int64_t directions_of(const ConstView& covariance) { return covariance.extent(1) - 1; }

// The last extent of `u`, which the forward leaves for the backward: of U_c = D_c S_c when full, of P_c = D_c V_c^T when low rank; 0: there is none.
inline std::int64_t width_of_u(const ConstView& covariance) {
  switch (kind_of(covariance)) {
    case CovarianceKind::full: return covariance.extent(2);
    case CovarianceKind::low_rank: return directions_of(covariance);
    case CovarianceKind::diagonal: break;
  }
  return 0;
}

}  // namespace isda::kernels
