// SPDX-License-Identifier: Apache-2.0
// The channels of two arrays side by side: y[..., :A] = a, y[..., A:] = b, along the last axis. A layer of a DenseNet adds its channels to all before it:
// x_{l+1} = [x_l, H_l(x_l)].   Huang et al., Densely Connected Convolutional Networks, CVPR 2017, equation 2.
//
//   a (..., A), b (..., B), y (..., A+B) of one type f32|bf16|f64; what stands before the last axis is the same in all
//   FLOP  none: values are moved as they are, bit for bit          bytes  every argument once
#pragma once
#include "kernels/common/operation.h"

namespace isda::kernels {

struct Concat {
  static constexpr auto name = "concat";
  ConstView a, b;
  View y;  // overwritten; shares no memory with a and b
};
ISDA_OPERATION(Concat);

// What belongs to each: da = dy[..., :A], db = dy[..., A:].
struct ConcatBackward {
  static constexpr auto name = "concat_backward";
  ConstView dy;
  View da, db;  // overwritten
};
ISDA_OPERATION(ConcatBackward);

}  // namespace isda::kernels
