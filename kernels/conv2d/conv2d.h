// SPDX-License-Identifier: Apache-2.0
// Two-dimensional convolution (cross-correlation) and its two gradients.
//
//   y[n,p,q,k] = sum over r,s,c of  f(x)[n, p*stride + r - padding, q*stride + s - padding, c] * weight[k,r,s,c]
//   P = (H + 2*padding - R) / stride + 1, rounded down;  Q likewise from W and S
//
//   x (N,H,W,C)   weight (K,R,S,C/groups)   y (N,P,Q,K)   f32|bf16|f64, all of one type; sums in f32 (reference: f64)
//   dweight is of the parameter type: f32 beside bf16.
//   With groups, output channel k of group k/(K/groups) sees only the input channels of the same group.
//   FLOP  2*N*P*Q*K*R*S*C/groups for each of the three      bytes  every array once
//
// Fusions are words of the contract, so that a network needs no pass of its own for them:
//   prologue  of x:   f(x) = relu(x*scale + shift) by channel: the batch normalisation and ReLU that stand before the convolution.
//                     NOTE: the zero padding is applied AFTER it: a padded pixel is 0, not relu(shift).
//   prologue  of dy:  the backward pass of the batch normalisation behind the convolution, which is linear in dy and y by channel.
//   epilogue  of y:   residual add, then mean and variance of what was stored, for the batch normalisation behind.
//   epilogue  of dx:  residual add, then the ReLU mask and the two sums of the backward pass of the normalisation before.
#pragma once
#include "kernels/common/operation.h"

namespace isda::kernels {

// f(x) = relu(x*scale + shift). scale and shift come together or not at all (f(x) = x); relu works with and without them.
struct Conv2dPrologue {
  ConstView scale = {};  // (C), f32 (f64 beside f64)
  ConstView shift = {};  // (C)
  bool relu = false;
};

// What is done to y before and after it is stored.
struct Conv2dEpilogue {
  struct Statistics {
    View mean = {};      // (K), overwritten: the mean over N*P*Q
    View variance = {};  // (K), overwritten: biased, by merges of means and centred squares in fixed order
  };
  ConstView residual = {};     // (N,P,Q,K), added to y; may be y itself (y += ...)
  Statistics statistics = {};  // of y as stored; both or none
};

struct Conv2d {
  static constexpr auto name = "conv2d";
  ConstView x;       // (N,H,W,C)
  ConstView weight;  // (K,R,S,C/groups)
  View y;            // (N,P,Q,K), overwritten
  int stride = 1;
  int padding = 0;
  int groups = 1;
  Conv2dPrologue prologue = {};
  Conv2dEpilogue epilogue = {};
};
ISDA_OPERATION(Conv2d);

// dy'[n,p,q,k] = dy*scale[k] + y*y_scale[k] + shift[k]. The backward pass of z = (y - mean)*invstd*gamma + beta, given dz, is of
// this form with dy = dz (M = N*P*Q, sum and sum_centred as Conv2dBackwardDataEpilogue gives them):
//   scale = gamma*invstd    y_scale = -scale*invstd^2*sum_centred/M    shift = -scale*sum/M - y_scale*mean
struct Conv2dGradientPrologue {
  ConstView y = {};        // (N,P,Q,K): the convolution's own output; all four come together or not at all
  ConstView scale = {};    // (K), f32 (f64 beside f64)
  ConstView y_scale = {};  // (K)
  ConstView shift = {};    // (K)
};

// What is done to the gradient g of f(x) before it is stored as dx:
//   g += residual;  g = 0 where mask.x*mask.scale + mask.shift <= 0;  dx = g;
//   sum[c] = sum of g over N*H*W;  sum_centred[c] = sum of g * (sums.x - sums.mean[c])
// For a convolution whose prologue was relu(x*scale + shift) mask and sums get the same x. Where the ReLU stands behind a residual
// add, mask.x is the ReLU's output (no scale and shift) and sums.x the input of the normalisation before the add.
struct Conv2dBackwardDataEpilogue {
  struct Mask {
    ConstView x = {};      // (N,H,W,C)
    ConstView scale = {};  // (C), with shift or not at all
    ConstView shift = {};  // (C)
  };
  struct Sums {
    ConstView x = {};       // (N,H,W,C); all four come together or not at all
    ConstView mean = {};    // (C)
    View sum = {};          // (C), overwritten
    View sum_centred = {};  // (C), overwritten
  };
  ConstView residual = {};  // (N,H,W,C), added; may be dx itself (dx += ...)
  Mask mask = {};
  Sums sums = {};
};

struct Conv2dBackwardData {
  static constexpr auto name = "conv2d_backward_data";
  ConstView dy;      // (N,P,Q,K)
  ConstView weight;  // (K,R,S,C/groups)
  View dx;           // (N,H,W,C), overwritten
  int stride = 1;
  int padding = 0;
  int groups = 1;
  Conv2dGradientPrologue prologue = {};
  Conv2dBackwardDataEpilogue epilogue = {};
};
ISDA_OPERATION(Conv2dBackwardData);

struct Conv2dBackwardWeights {
  static constexpr auto name = "conv2d_backward_weights";
  ConstView x;   // (N,H,W,C)
  ConstView dy;  // (N,P,Q,K)
  View dweight;  // (K,R,S,C/groups), the parameter type (f32; f64 with f64), overwritten
  int stride = 1;
  int padding = 0;
  int groups = 1;
  Conv2dPrologue prologue = {};                   // of x, as in the forward pass
  Conv2dGradientPrologue gradient_prologue = {};  // of dy
};
ISDA_OPERATION(Conv2dBackwardWeights);

}  // namespace isda::kernels
