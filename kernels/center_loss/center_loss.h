// SPDX-License-Identifier: Apache-2.0
// Center loss: what draws the features of a class together, beside the cross-entropy that keeps the classes apart.
// Wen et al., A Discriminative Feature Learning Approach for Deep Face Recognition, ECCV 2016, equations 2 to 4
//
//   loss      = lambda/2 mean over n of |x_n - c_y|^2      dx_n = lambda/N (x_n - c_y)      with the centers as they are before this batch
//   then      c_j <- c_j - alpha (sum over the samples of class j of (c_j - x_n)) / (1 + m_j),      m_j of them in the batch
//   The paper sums over the batch where this takes the mean: its lambda is this one over the batch size.
//
//   x (N,A), centers (C,A), all of one type f32|f64   sums in f32 (reference: f64)
//   FLOP  6 N A     bytes  x twice, dx, and the centers of the classes that are present, read and written
//   A label outside [0,C) is an Error where the host reads the labels; the cuda device shows a NaN.
#pragma once
#include "kernels/common/operation.h"

namespace isda::kernels {

struct CenterLoss {
  static constexpr auto name = "center_loss";
  ConstView features;  // x (N,A)
  ConstView labels;    // (N) i32
  double weight = 0;   // lambda, 0 or more
  double rate = 0.5;   // alpha, from 0 to 1
  View centers;        // (C,A), changed in place
  View loss;           // (1), overwritten
  View dfeatures;      // (N,A), overwritten
};
ISDA_OPERATION(CenterLoss);

}  // namespace isda::kernels
