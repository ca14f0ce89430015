// SPDX-License-Identifier: Apache-2.0
// The pass over the full covariances of the present classes: updates each S_c, multiplies it into U_c = D_c S_c, or both at once.
//
// S_c is A x A floats, 1.6 MB at A = 640, and comes from main memory. The pass takes it in strips of columns that fit into the level-2
// cache: a strip is read, given its new terms, written back and multiplied by D_c while it is there; meanwhile the next strip is
// prefetched, so that the memory works while the processor multiplies. An element of U_c is summed over all rows of S_c in order,
// whoever computes it.
#pragma once
#include "kernels/isda/members.h"

namespace isda::kernels {

struct CovariancePass {
  const Members& members;
  std::int64_t A, C;
  const float* covariance;  // (C,A,A)

  // To update; null without.
  const Terms* terms = nullptr;
  float* updated = nullptr;  // (C,A,A), the covariance

  // To multiply; null without.
  const float* weight = nullptr;  // (C,A)
  float* u = nullptr;             // (K,C,A)
  float* q = nullptr;             // (K,strips_of(A),C): the sum over strips is Q[c,j] = U_c[j] . D_c[j]
};

std::int64_t strips_of(std::int64_t A);
void run_pass(const Context& context, const CovariancePass& pass);

}  // namespace isda::kernels
