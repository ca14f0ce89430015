// SPDX-License-Identifier: Apache-2.0
// Large-margin softmax: the logit of a sample's own class is lowered, so that its angle to the class's weights must be m times smaller than to tell the classes
// apart alone would need.   Liu et al., Large-Margin Softmax Loss for Convolutional Neural Networks, ICML 2016, equations 4 to 6
//
//   plain    w_y.x + b_y = |w_y||x| cos t + b_y
//   here     (lambda |w_y||x| cos t + |w_y||x| psi(t)) / (1 + lambda) + b_y      psi(t) = (-1)^k cos(m t) - 2k for t in [k pi/m, (k+1) pi/m], falling
//   The other logits stay as they are. lambda falls from large to small while one trains: large, it is plain softmax. m = 1 is plain in any case.
//   NOTE: the paper has no biases; here that of the class is added as it is, so that evaluation knows nothing of the loss.
//
// With c = cos t, psi is a polynomial of c in each interval (cos(m t) by multiple angles), psi' its derivative by c. Then
//   d own / dx = w_y + P w_y + Q_x x     d own / dw_y = x + P x + Q_w w_y     P = (psi' - 1)/(1 + lambda)
//   Q_x = |w_y|/|x| (psi - c psi')/(1 + lambda)      Q_w = |x|/|w_y| (psi - c psi')/(1 + lambda)
// of which the first terms are those of the plain logits, and the linear layer's. Where x or w_y is 0 nothing is lowered.
//
//   x (N,A), w (C,A), logits (N,C), all of one type f32|f64   sums in f32 (reference: f64)
//   FLOP  6 N A forward, 8 N A backward     bytes  x, logits and what is written once; a sample's w_y
#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/common/operation.h"

namespace isda::kernels {

struct LargeMargin {
  static constexpr auto name = "large_margin";
  ConstView features, weight;  // x (N,A), w (C,A)
  ConstView logits;            // (N,C), the plain ones
  ConstView labels;            // (N) i32
  ConstView lambda;            // (1), in device memory, since it changes between replays
  int margin = 2;              // m: 1 to 4
  View margin_logits;          // (N,C), overwritten
  View coefficients;           // (N,3), overwritten: P, Q_x, Q_w of each sample
};
ISDA_OPERATION(LargeMargin);

struct LargeMarginBackward {
  static constexpr auto name = "large_margin_backward";
  ConstView dlogits;           // (N,C), the gradient of margin_logits: also that of the plain logits
  ConstView features, weight;  // x (N,A), w (C,A)
  ConstView labels;            // (N) i32
  ConstView coefficients;      // (N,3)
  View dfeatures;              // (N,A), overwritten: dlogits[n,y] (P w_y + Q_x x)
  View dweight;                // (C,A), overwritten: the sum over the samples of class c of dlogits[n,c] (P x + Q_w w_c)
};
ISDA_OPERATION(LargeMarginBackward);

// What becomes of one own logit. dot = w.x, and the lengths of w and x.
template <class T>
struct Margin {
  T lowered_by, p, q_x, q_w;
};
template <class T>
constexpr Margin<T> margin_of(int m, T lambda, T dot, T length_w, T length_x) {
  const T length = length_w * length_x;
  if (length == 0) return {0, 0, 0, 0};
  const T ratio = dot / length;
  const T c = ratio > 1 ? T{1} : ratio < -1 ? T{-1} : ratio;  // NOTE: rounding may leave the cosine's range; a NaN stays one
  // cos(m t) and its derivative by c.
  T multiple = c, slope = 1;
  if (m == 2) multiple = 2 * c * c - 1, slope = 4 * c;
  if (m == 3) multiple = (4 * c * c - 3) * c, slope = 12 * c * c - 3;
  if (m == 4) multiple = 8 * (c * c - 1) * c * c + 1, slope = (32 * c * c - 16) * c;
  // k: how many of cos(pi/m), cos(2 pi/m), ... the cosine is below.
  constexpr T kHalfRoot2 = static_cast<T>(0.70710678118654752440);
  int k = 0;
  if (m == 2) k = c < 0;
  if (m == 3) k = (c < T{0.5}) + (c < T{-0.5});
  if (m == 4) k = (c < kHalfRoot2) + (c < 0) + (c < -kHalfRoot2);
  const T sign = k % 2 == 0 ? T{1} : T{-1}, psi = sign * multiple - static_cast<T>(2 * k), dpsi = sign * slope, share = 1 / (1 + lambda);
  const T rest = (psi - c * dpsi) * share;
  return {(c - psi) * length * share, (dpsi - 1) * share, length_w / length_x * rest, length_x / length_w * rest};
}

}  // namespace isda::kernels
