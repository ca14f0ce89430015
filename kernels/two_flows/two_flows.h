// SPDX-License-Identifier: Apache-2.0
// The shortcut of a Shake-Shake block that changes the shape begins with two flows: every stride-th pixel, and every stride-th pixel of the image shifted by
// one pixel right and down, side by side as channels. A 1x1 convolution in two groups behind it is a 1x1 convolution of each flow, concatenated.
//   y[n,p,q,c] = x[n,ps,qs,c]      y[n,p,q,C+c] = x[n,ps-1,qs-1,c], 0 where that is outside         s the stride; P = ceil(H/s), Q = ceil(W/s)
// Gastaldi, Shake-Shake regularization, 2017, section 2.1: 1x1 average pooling with step 2, the input of the second flow shifted.
//
//   x (N,H,W,C) f32|bf16|f64   y (N,P,Q,2C) of the type of x
//   FLOP  none (backward 1 an element of dx)     bytes  forward y twice, backward dy and dx once
#pragma once
#include <cstdint>

#include "kernels/common/operation.h"

namespace isda::kernels {

struct TwoFlows {
  static constexpr auto name = "two_flows";
  ConstView x;  // (N,H,W,C)
  View y;       // (N,P,Q,2C), overwritten
  std::int64_t stride = 2;
};
ISDA_OPERATION(TwoFlows);

struct TwoFlowsBackward {
  static constexpr auto name = "two_flows_backward";
  ConstView dy;  // (N,P,Q,2C)
  View dx;       // (N,H,W,C), overwritten: the sum of what took the pixel, 0 where nothing did
  std::int64_t stride = 2;
};
ISDA_OPERATION(TwoFlowsBackward);

// Where pixel (h,w) went in flow 0 or 1; row -1 where it went nowhere.
struct Taken {
  std::int64_t row, column;
};
constexpr Taken taken_by(int flow, std::int64_t h, std::int64_t w, std::int64_t stride, std::int64_t P, std::int64_t Q) {
  const std::int64_t down = h + flow, right = w + flow;
  if (down % stride != 0 || right % stride != 0 || down / stride >= P || right / stride >= Q) return {-1, -1};
  return {down / stride, right / stride};
}

}  // namespace isda::kernels
