// SPDX-License-Identifier: Apache-2.0
// Covariances of low rank: S_c ~ diag(d_c) + V_c^T V_c, of A + R A numbers a class where the full one has A^2.
//
//   d_c (A), d_c >= 0    what the directions do not hold          V_c (R,A)    the R directions, the longest first
//
// Update. What a batch adds are the terms z_1 ... z_{m+1} of members.h, taken kTermsAtOnce at a time. For each such chunk, with keep = n / (n+m) for the
// first and 1 for those behind it:
//
//   candidates  B = [sqrt(keep) V_c; z_i; z_{i+1}; ...]  (R + chunk, A)         so B^T B = keep V_c^T V_c + sum z z^T
//   Gram        B B^T = E^T diag(lambda) E                                      by Jacobi rotations (jacobi.h), lambda descending
//   V_c <- the first R rows of E B          d_c <- keep d_c + the squares of the other rows, added up for each feature
//
// The rows of E B are orthogonal, of squared length lambda, and (E B)^T (E B) = B^T B. From that, after every update and but for rounding:
//
//   1  The diagonal of S_c is that of the full update, to all time: what V_c gives up goes to d_c. So is the trace, which is the expected squared distance
//      from the mean; and count and mean are exact, as they do not know of the covariance. In f32 the squares given up are found as the candidates' less
//      those of V_c as it was rounded, in twice the digits: so the rounding of V_c, too, ends up in d_c, and does not add up over steps.
//   2  S_c is positive semi-definite: d_c is a sum of squares, and never less than 0.
//   3  V_c^T V_c is the best approximation of rank R, in the Frobenius and the spectral norm, to B^T B (Eckart, Young, 1936), of all that the step saw.
//   4  The rows of V_c are orthogonal. They are known up to their signs, and, where lambdas are equal, up to rotations: only S_c means something.
//   5  Where all that a class has seen is of rank R or less, d_c = 0 and S_c is the full covariance.
//
// What is lost: the correlations among features along what was given up; and, of what comes back later in many small parts, what was given up before.
// This is the sequential Karhunen-Loeve transform with the forgetting factor that makes it a mean over all samples, with d_c beside it:
// Levy, Lindenbaum, IEEE Trans. Image Processing 9 (2000); Brand, ECCV 2002; Ross, Lim, Lin, Yang, IJCV 77 (2008), who update the mean as here.
// The eigenvectors from the Gram matrix of few long rows: Sirovich, Quarterly of Applied Mathematics 45 (1987), the "method of snapshots".
//
// Forward, with D_c[j] = w_j - w_c, subtracted first:
//   P_c = D_c V_c^T  (C,R)          Q[c,j] = sum_a d_c[a] D_c[j,a]^2 + |P_c[j]|^2          U_c[j] = d_c * D_c[j] + P_c[j] V_c
// Backward as for full, with this U_c. NOTE: U_c is not kept for it, but made again from P_c: with K = 226 present of C = 1000 classes, A = 2048 and R = 64
// U would be 1.9 GB and P is 58 MB, while making U_c again costs what P_c did, 2 K C A R, and a tenth of it more for the diagonal.
//
//   FLOP   update 2 K n^2 A for the Gram matrix, as much for E B, some 30 n^3 for the rotations, n = R + m + 1   forward, backward 2 K C A R + 4 K C A each
//   bytes  update V_c of K classes three times and once written; forward V_c once, P written; backward V_c and P once
#pragma once
#include <cstdint>
#include <vector>

#include "kernels/isda/members.h"

namespace isda {
class View;
}

namespace isda::kernels::low_rank {

// How many terms are candidates at a time. NOTE: part of the definition: with more at once less is given up.
inline constexpr std::int64_t kTermsAtOnce = 32;

// ---- the definition, in double ----

using Rows = std::vector<std::vector<double>>;

struct Directions {
  Rows longest;              // R of them, the longest first; zeros behind what there is
  std::vector<double> rest;  // (A) the squares of the others, added up
};
// What R directions hold of B^T B, and what they leave.
Directions keep_longest(const Rows& candidates, std::size_t R);

// S_c <- keep S_c + sum_k z_k z_k^T. covariance: (C,1+R,A)
void add_terms(const View& covariance, std::int64_t c, double keep, const Rows& terms);
// S_c <- keep S_c + share S'_c + z z^T, for statistics that were taken apart: all directions of both, and z, are candidates at once.
void merge(const View& covariance, const View& other, std::int64_t c, double keep, double share, const std::vector<double>& z);

// ---- on the cpu, f32 ----

// Adds the terms of a batch to the covariances (C,1+R,A) of its classes.
void update(const Context& context, const Terms& terms, std::int64_t R, float* covariance);

// What the forward and the backward read.
struct Batch {
  const Members& members;
  std::int64_t C, A, R;
  const float* weight;      // (C,A)
  const float* covariance;  // (C,1+R,A)

  const float* diagonal(std::int64_t c) const { return covariance + c * (1 + R) * A; }
  const float* directions(std::int64_t c) const { return diagonal(c) + A; }
};
// p (K,C,R): P_c; q (K,C): Q
void project(const Context& context, const Batch& batch, float* p, float* q);
// dW[j] += sum_c g[c,j] U_c[j], dW[c] -= sum_j g[c,j] U_c[j].   p: P_c in order of `slots` (C); g (K,C); dweight (C,A)
void correct(const Context& context, const Batch& batch, const float* p, const std::int32_t* slots, const float* g, float* dweight);

}  // namespace isda::kernels::low_rank
