// SPDX-License-Identifier: Apache-2.0
// Each image of a batch mixed with another one of it: mixup (everywhere) and CutMix (in a box).
//
//   y[n,h,w,c] = x[m,h,w,c] in the box, and w x[n,h,w,c] + (1-w) x[m,h,w,c] outside of it;   m = (n + shift) mod N
//   x, y (N,H,W,C) f32|bf16|f64    weight w (1) in [0,1]    place (5) i32: shift in [0,N); the box's top, left, bottom and right, [top,bottom) x [left,right)
//   FLOP 3*N*H*W*C    bytes  x twice, y once
//
// A place that cannot be is an Error where the host reads it; the cuda device takes the shift modulo N, and no box reaches beyond the image.
// Weight and place lie in device memory, so that a recorded step can be replayed with the next draw; what the labels become is the loss's affair.
// Zhang et al., mixup, 2018; Yun et al., CutMix, 2019. How they are drawn: datasets/mixing.h.
#pragma once
#include "kernels/common/operation.h"

namespace isda::kernels {

struct Mix {
  static constexpr auto name = "mix";
  ConstView x;
  ConstView weight;  // (1), f64 with f64, otherwise f32
  ConstView place;   // (5)
  View y;            // the shape of x, overwritten; not x
};
ISDA_OPERATION(Mix);

// Throws Error for a shift outside [0,N), or a box that is not of the image. Reads the place, so host versions call it and check() does not.
void check_place(const Mix&);

}  // namespace isda::kernels
