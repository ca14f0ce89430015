// SPDX-License-Identifier: Apache-2.0
// Batch normalisation over every axis but the last.   Ioffe and Szegedy, Batch Normalization, 2015.
//
//   x (...,C) f32|bf16|f64, any rank from 2, usually (N,H,W,C); M = the number of rows, x.size() / C
//   mean, variance, weight, bias, running_* and the sums are (C) of the parameter type: f64 beside f64, otherwise f32
//
//   mean[c]      = sum of x[m,c] / M                    variance[c] = sum of (x[m,c] - mean[c])^2 / M     (biased)
//   y[m,c]       = weight[c] * (x[m,c] - mean[c]) / sqrt(variance[c] + epsilon) + bias[c] [+ residual[m,c]] [, below 0 made 0]
//
// A training step runs BatchNormStatistics, BatchNorm; then BatchNormBackwardReduce, BatchNormBackward.
// An evaluation runs BatchNorm alone, with the running mean and variance.
#pragma once
#include <cstdint>

#include "kernels/common/operation.h"

namespace isda::kernels {

// Mean and biased variance of every channel, by merges of centred moments in an order that depends on the shape alone:
// no cancellation where the mean is large against the deviation, the same bits with any number of threads.
//   FLOP 5 * M*C   bytes x once
struct BatchNormStatistics {
  static constexpr auto name = "batch_norm_statistics";
  ConstView x;          // (...,C)
  View mean, variance;  // (C), overwritten
};
ISDA_OPERATION(BatchNormStatistics);

// The running statistics, which follow the batch's where an operation that uses these is asked to see to it:
//   running = (1 - momentum) * running + momentum * batch      as PyTorch does it: the variance enters unbiased, times M / (M - 1)
// NOTE: with M = 1 a batch says nothing about the variance; the running one then keeps its value.
struct RunningStatistics {
  View mean = {}, variance = {};  // (C), updated; both or none
  double momentum = 0.1;          // 0 to 1
};

// The normalisation itself, with a residual added and a ReLU applied in the same pass where asked.
//   FLOP 2 * M*C (+ 1 each for residual and ReLU)   bytes x, residual, y once
struct BatchNorm {
  static constexpr auto name = "batch_norm";
  ConstView x;                             // (...,C)
  ConstView mean, variance, weight, bias;  // (C)
  ConstView residual = {};                 // as x, optional
  bool relu = false;
  double epsilon = 1e-5;
  View y;                          // as x, overwritten; may be x or residual
  RunningStatistics running = {};  // optional, other arrays than mean and variance
};
ISDA_OPERATION(BatchNorm);

// The normalisation as one multiply-add by channel, for an operation that applies it to x on load (kernels/conv2d: prologue):
//   scale[c] = weight[c] / sqrt(variance[c] + epsilon)      shift[c] = bias[c] - mean[c] * scale[c]      y = x*scale + shift
// NOTE: x*scale + shift cancels where the mean is large against the deviation; BatchNorm itself takes x - mean first.
//   FLOP 5 * C   bytes every argument once
struct BatchNormAffine {
  static constexpr auto name = "batch_norm_affine";
  ConstView mean, variance, weight, bias;  // (C)
  double epsilon = 1e-5;
  View scale, shift;               // (C), overwritten
  RunningStatistics running = {};  // optional, other arrays than mean and variance
  std::int64_t count = 0;          // M, for the running variance
};
ISDA_OPERATION(BatchNormAffine);

// The two sums over rows that the gradient needs. With ReLU, y is BatchNorm's output and dz = dy where y > 0, else 0; without, dz = dy.
//   sum_dz[c] = sum of dz[m,c]     sum_dz_x[c] = sum of dz[m,c] * (x[m,c] - mean[c])     in an order that depends on the shape alone
//   FLOP 4 * M*C   bytes dy, x, y once
struct BatchNormBackwardReduce {
  static constexpr auto name = "batch_norm_backward_reduce";
  ConstView dy, x;        // (...,C)
  ConstView y = {};       // as x; given exactly when BatchNorm applied its ReLU
  ConstView mean;         // (C)
  View sum_dz, sum_dz_x;  // (C), overwritten
};
ISDA_OPERATION(BatchNormBackwardReduce);

// The gradient through the normalisation and through the batch's own mean and variance:
//   dx[m,c] = weight[c] * invstd[c] * (dz[m,c] - sum_dz[c] / M - (x[m,c] - mean[c]) * invstd[c]^2 * sum_dz_x[c] / M) [+ addend[m,c]]
//   dresidual = dz     dweight = sum_dz_x * invstd     dbias = sum_dz     with invstd = 1 / sqrt(variance + epsilon)
//   FLOP 4 * M*C   bytes dy, x, y, addend, dx, dresidual once
struct BatchNormBackward {
  static constexpr auto name = "batch_norm_backward";
  ConstView dy, x;                   // (...,C)
  ConstView y = {};                  // as x; given exactly when BatchNorm applied its ReLU
  ConstView mean, variance, weight;  // (C), of BatchNorm
  ConstView sum_dz, sum_dz_x;        // (C), of BatchNormBackwardReduce
  ConstView addend = {};             // as x, optional, beside neither y nor dresidual: the gradient that x has from elsewhere; may be dx where dy is not
  double epsilon = 1e-5;
  View dx;                        // as x, overwritten; may be dy
  View dresidual = {};            // as x, overwritten, optional; may be dy where dx is not
  View dweight = {}, dbias = {};  // (C), overwritten, optional
};
ISDA_OPERATION(BatchNormBackward);

}  // namespace isda::kernels
