// SPDX-License-Identifier: Apache-2.0
// The pass over the full covariances of the present classes, on the card: each S_c is read once, given its new terms, written once, and multiplied into
// U_c = D_c S_c while it is in registers.
#pragma once
#include "kernels/isda/statistics.cuh"

namespace isda::kernels {

// How f32 is multiplied: on tensor cores by three TF32 products, which keep its digits (kernels/common/tensor_core.cuh), or by one, with 10 mantissa bits
// and a third of the work; or on CUDA cores, by tiles (tile.cuh) and in a pass of its own.
enum class F32Products { three_tf32, tf32, plain };

struct StreamingPass {
  Membership members;
  int C, A;
  const float* weight;  // (C,A)
  float* covariance;    // (C,A,A); changed only where there are terms
  BatchTerms terms;     // none: nothing is added
  float* count;         // (C), likewise
  float* u;             // (most,C,A)
  float* q;             // (most,parts,C): the sum over the parts is Q[c,j] = U_c[j] . D_c[j]

  static constexpr int kColumns = 128;  // of S_c, a block's
  static int parts(std::int64_t A) { return static_cast<int>((A + kColumns - 1) / kColumns); }
};

// One launch. products: three_tf32 or tf32.
void run_streaming_pass(const Context& context, const StreamingPass& op, F32Products products);

}  // namespace isda::kernels
