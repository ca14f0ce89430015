// SPDX-License-Identifier: Apache-2.0
// Softmax cross-entropy with label smoothing s, its gradient and the number of hits, from one pass over the logits.
//
//   p[n,c]     = exp(z[n,c] - lse[n])            lse[n] = max_c z[n,c] + log sum_c exp(z[n,c] - max_c z[n,c])
//   t[n,c]     = (1 - s) [c == y[n]] + s / C
//   losses[n]  = lse[n] - sum_c t[n,c] z[n,c]    loss = mean over n of losses[n]      dlogits[n,c] = (p[n,c] - t[n,c]) / N
//   correct    = how many n have z[n,y[n]] > z[n,c] for every c < y[n] and z[n,y[n]] >= z[n,c] for every c > y[n]
//
//   logits z (N,C) f32|bf16|f64   labels y (N) i32   dlogits the type of z   loss, losses the parameter type   sums in f32 (reference: f64)
//   FLOP  5 N C   bytes  logits once, dlogits once
//
// A NaN among the logits of a sample makes its loss and its gradient NaN and the sample no hit.
// A label outside [0,C) is an Error where the host reads the labels. The cuda device, where it does not, treats it like a NaN: the loss shows it.
#pragma once
#include "kernels/common/operation.h"

namespace isda::kernels {

struct SoftmaxCrossEntropy {
  static constexpr auto name = "softmax_cross_entropy";
  ConstView logits;            // (N,C)
  ConstView labels;            // (N) i32, in [0,C)
  double label_smoothing = 0;  // in [0,1)
  View loss;                   // (1), the mean over the batch
  View losses = {};            // (N), optional: the loss of each sample
  View dlogits = {};           // (N,C), optional: the gradient of the mean loss
  View correct = {};           // (1) i32, optional: top-1 hits; of equal logits the first counts
};
ISDA_OPERATION(SoftmaxCrossEntropy);

}  // namespace isda::kernels
