// SPDX-License-Identifier: Apache-2.0
// What corrects the logits: the table Q[c,j] = D_c[j] S_c D_c[j]^T of the classes c that are present, D_c[j] = w_j - w_c; and beside it U_c = D_c S_c,
// or where the covariance is of low rank P_c = D_c V_c^T.
#pragma once
#include "kernels/isda/streaming_pass.cuh"

namespace isda::kernels {

struct Correction {
  Membership members;
  ConstView weight;            // (C,A)
  View covariance;             // (C,A,A), (C,1+R,A) or (C,A); changed only where there are terms
  CovarianceTerms terms = {};  // not with a diagonal: added to the covariance on the way
  View count = {};             // (C), likewise; the samples are counted where it is given
  View u = {};                 // (min(N,C),C,A) full, (min(N,C),C,R) low rank
};

// In device memory.
struct CorrectionTable {
  float* q;  // (most,parts,C): the sum over the parts, in order, is Q[c,j]
  int parts;
};
// One launch, or two with terms where the context's products are plain (kernels/common/f32_products.h).
CorrectionTable correction_of(const Context& context, Scratch& scratch, const Correction& op);

}  // namespace isda::kernels
