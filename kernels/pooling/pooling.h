// SPDX-License-Identifier: Apache-2.0
// Pooling over pixels: maximum and mean of square windows, mean of the whole image.
//
//   x (N,H,W,C) f32|bf16|f64   y of the type of x; the global average of bf16 also in f32   sums in f32 (reference: f64)
// A window operation has y (N,P,Q,C) with P = floor((H + 2 padding - kernel) / stride) + 1, Q likewise from W; window (p,q) covers the
// rows p*stride - padding ... + kernel - 1 and the columns likewise.
#pragma once
#include <cstdint>

#include "kernels/common/operation.h"

namespace isda::kernels {

// Global average: y[n,c] = mean over (h,w) of x[n,h,w,c].   Lin et al., Network in Network, 2014, section 3.2.
// In front of a classifier that computes in f32, y is f32 also where x is bf16.
//   FLOP  N*H*W*C              bytes  x once, y once
struct GlobalAverage {
  static constexpr auto name = "global_average";
  ConstView x;  // (N,H,W,C)
  View y;       // (N,C), overwritten; the type of x or, beside bf16, f32
};
ISDA_OPERATION(GlobalAverage);

struct GlobalAverageBackward {
  static constexpr auto name = "global_average_backward";
  ConstView dy;  // (N,C), the type of dx or, beside bf16, f32
  View dx;       // (N,H,W,C), overwritten: dx[n,h,w,c] = dy[n,c] / (H*W)
};
ISDA_OPERATION(GlobalAverageBackward);

// The largest element of each window; padding never wins. The first of equals wins; a NaN wins over every number.
//   FLOP  kernel^2 * N*P*Q*C   bytes  x, y, indices once
struct MaxPool2d {
  static constexpr auto name = "max_pool2d";
  ConstView x;                                       // (N,H,W,C)
  View y;                                            // (N,P,Q,C), overwritten
  View indices = {};                                 // (N,P,Q,C) i32, overwritten, optional: h*W + w of the winner; the gradient needs it
  std::int64_t kernel = 2, stride = 2, padding = 0;  // padding: at most kernel / 2
};
ISDA_OPERATION(MaxPool2d);

struct MaxPool2dBackward {
  static constexpr auto name = "max_pool2d_backward";
  ConstView dy;       // (N,P,Q,C)
  ConstView indices;  // (N,P,Q,C) i32, from MaxPool2d
  View dx;            // (N,H,W,C), overwritten: the sum of dy over the windows that the element won
  std::int64_t kernel = 2, stride = 2, padding = 0;
};
ISDA_OPERATION(MaxPool2dBackward);

// The mean of each window over all its kernel^2 positions, padding counted as 0 (PyTorch's count_include_pad=True).
//   FLOP  kernel^2 * N*P*Q*C   bytes  x, y once
struct AveragePool2d {
  static constexpr auto name = "average_pool2d";
  ConstView x;                                       // (N,H,W,C)
  View y;                                            // (N,P,Q,C), overwritten
  std::int64_t kernel = 2, stride = 2, padding = 0;  // padding: at most kernel / 2
};
ISDA_OPERATION(AveragePool2d);

struct AveragePool2dBackward {
  static constexpr auto name = "average_pool2d_backward";
  ConstView dy;  // (N,P,Q,C)
  View dx;       // (N,H,W,C), overwritten: the sum of dy / kernel^2 over the windows that cover the element
  std::int64_t kernel = 2, stride = 2, padding = 0;
};
ISDA_OPERATION(AveragePool2dBackward);

}  // namespace isda::kernels
