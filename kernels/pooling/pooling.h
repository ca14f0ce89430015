// SPDX-License-Identifier: Apache-2.0
// Global average pooling: y[n,c] = mean over (h,w) of x[n,h,w,c].   Lin et al., Network in Network, 2014, section 3.2.
//
//   x (N,H,W,C) f32|bf16|f64   y (N,C) the type of x   sums in f32 (reference: f64)
//   FLOP  N*H*W*C              bytes  x once, y once
#pragma once
#include "kernels/common/operation.h"

namespace isda::kernels {

struct GlobalAverage {
  static constexpr auto name = "global_average";
  ConstView x;  // (N,H,W,C)
  View y;       // (N,C), overwritten
};
ISDA_OPERATION(GlobalAverage);

struct GlobalAverageBackward {
  static constexpr auto name = "global_average_backward";
  ConstView dy;  // (N,C)
  View dx;       // (N,H,W,C), overwritten: dx[n,h,w,c] = dy[n,c] / (H*W)
};
ISDA_OPERATION(GlobalAverageBackward);

}  // namespace isda::kernels
