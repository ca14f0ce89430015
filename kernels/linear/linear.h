// SPDX-License-Identifier: Apache-2.0
// The linear layer: y[n,c] = sum over a of x[n,a] weight[c,a] + bias[c].
//
//   x (N,A) f32|bf16|f64   weight (C,A), y (N,C) the type of x   bias (C) the parameter type (f32; f64 with f64)   sums in f32 (reference: f64)
//   FLOP  2 N C A          bytes  each array once
#pragma once
#include "kernels/common/operation.h"

namespace isda::kernels {

struct Linear {
  static constexpr auto name = "linear";
  ConstView x;          // (N,A)
  ConstView weight;     // (C,A)
  ConstView bias = {};  // (C), optional
  View y;               // (N,C), overwritten
};
ISDA_OPERATION(Linear);

// dx[n,a] = sum over c of dy[n,c] weight[c,a]    dweight[c,a] = sum over n of dy[n,c] x[n,a]    dbias[c] = sum over n of dy[n,c]
struct LinearBackward {
  static constexpr auto name = "linear_backward";
  ConstView dy;       // (N,C), the type of x
  ConstView x;        // (N,A)
  ConstView weight;   // (C,A)
  View dx = {};       // (N,A), optional, overwritten
  View dweight = {};  // (C,A), optional, the parameter type, overwritten
  View dbias = {};    // (C), optional, the parameter type, overwritten
};
ISDA_OPERATION(LinearBackward);

}  // namespace isda::kernels
