// SPDX-License-Identifier: Apache-2.0
// The pass over the full covariances of the present classes, on the card: each S_c is read once, given its new terms, written once, and multiplied into
// U_c = D_c S_c while it is in registers.
#pragma once
#include "kernels/isda/statistics.cuh"

namespace isda::kernels {

struct StreamingPass {
  Membership members;
  int C, A;
  const float* weight;    // (C,A)
  float* covariance;      // (C,A,A); changed only where there are terms
  CovarianceTerms terms;  // none: nothing is added
  float* count;           // (C), likewise; null: the samples are not counted
  float* u;               // (most,C,A)
  float* q;               // (most,parts,C): the sum over the parts is Q[c,j] = U_c[j] . D_c[j]

  static constexpr int kColumns = 128;  // of S_c, a block's
  static int parts(std::int64_t A) { return static_cast<int>((A + kColumns - 1) / kColumns); }
};

// One launch. products: three_tf32 or tf32.
void run_streaming_pass(const Context& context, const StreamingPass& op, F32Products products);

}  // namespace isda::kernels
