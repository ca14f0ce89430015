// SPDX-License-Identifier: Apache-2.0
// Draws of features around their samples: the augmentation that ISDA's loss stands for, made explicit. For teaching and for checking.
// Wang et al., Implicit Semantic Data Augmentation for Deep Networks, NeurIPS 2019, equation 2.
//
//   drawn[i M + m] = a_i + sqrt(ratio) x,   x ~ Normal(0, S_{y_i}),   m = 0 ... M - 1
//   full        x = L e:  S = L L^T, L lower triangular (Cholesky; Golub & Van Loan, Matrix Computations, 4.2), e normal numbers
//   diagonal    x[a] = sqrt(s[a]) e[a]
//   low rank    x = V^T e' + sqrt(d) e of S = diag(d) + V^T V (kernels/isda/low_rank.h): e' are the normal numbers 0 ... R - 1, e those from R on, rounded up
//   to
//               a multiple of four
//   Normal number k of draw (i,m) is a function of (seed, step, i M + m, k) alone: Philox words and Box-Muller (kernels/common/philox.h). Whoever computes it,
//   and in which order, it is the same draw; a resumed run draws what it would have drawn.
//
// A covariance of fewer samples than features is singular, and rounding leaves its missing directions a little above or below zero. So a pivot of at most
// A 2^-23 of the largest variance of the class counts as zero, and so does its column of L: S is then met up to that share.
//
//   features (N,A)   labels (N) i32 in [0,C)   covariance (C,A,A), (C,A) or (C,1+R,A)   drawn (N M,A)   all but the integers f32 or f64
//   FLOP  full: K A^3 / 3 for the factors, N M A^2 for the draws; diagonal: 2 N M A; low rank: 2 N M A R        bytes  S of K classes once, the factors (K A^2)
//   as caches have it, drawn
//
// Backward: the draws move with their samples, S is a constant:   dfeatures[i] = sum over m of ddrawn[i M + m]
#pragma once
#include "kernels/common/operation.h"
#include "kernels/common/philox.h"
#include "kernels/isda/covariance_kind.h"

namespace isda::kernels {

struct IsdaDraw {
  static constexpr auto name = "isda_draw";
  ConstView features;    // (N,A)
  ConstView labels;      // (N) i32
  ConstView covariance;  // (C,A,A), (C,A) or (C,1+R,A)
  ConstView ratio;       // (1)
  View step;             // (1) i32, changed in place: one more, so that the next draws are others
  std::int64_t draws;    // M
  std::uint64_t seed;
  View drawn;            // (N M,A), overwritten
  View labels_of_drawn;  // (N M) i32, overwritten: those of the samples
};
ISDA_OPERATION(IsdaDraw);

struct IsdaDrawBackward {
  static constexpr auto name = "isda_draw_backward";
  ConstView ddrawn;  // (N M,A)
  View dfeatures;    // (N,A), overwritten
};
ISDA_OPERATION(IsdaDrawBackward);

// The first of the numbers that a diagonal is drawn by, behind those of R directions.
constexpr std::int64_t first_of_diagonal(std::int64_t directions) { return (directions + 3) / 4 * 4; }

// Words for the normal numbers 4 group ... 4 group + 3 of a draw.
constexpr PhiloxCounter words_of_draw(std::uint64_t seed, std::int32_t step, std::int64_t draw, std::int64_t group) {
  return philox(seed, RandomStream::isda, static_cast<std::uint64_t>(step), static_cast<std::uint64_t>(draw) << 20 | static_cast<std::uint64_t>(group));
}

// What of a class's largest variance a pivot must exceed.
constexpr double least_pivot(std::int64_t width) { return static_cast<double>(width) * 0x1p-23; }

}  // namespace isda::kernels
