// SPDX-License-Identifier: Apache-2.0
// Shaken branches of a residual block: y = shortcut + p a + q b with factors drawn for each image, others on the way back.   kernels/shake/shake.h
//   shake(shortcut, a, b)    Shake-Shake          shake(shortcut, a)    ShakeDrop
// In evaluation the factors are their expectations. What is drawn is a function of (seed, layer, step, image), so that a resumed run draws the same.
// A shortcut (N,H,W,C0) of fewer channels than the branches counts as 0 in the others.
#pragma once
#include "core/module.h"

namespace isda {

struct ShakeOptions {
  double survival = 1;  // of one branch: the probability that it is left as it is; 1: in any case
  std::uint64_t seed = 0;
  std::uint32_t layer = 0;  // tells apart the blocks of one network
  bool is_shaken = true;    // false: the expectations
};

// step (1) i32, the training step; may be undefined where nothing is drawn. NOTE: backward() reads it again, and must find the value that the forward pass
// found.
Tensor shake(const Tensor& shortcut, const Tensor& a, const Tensor& b, const Tensor& step, const ShakeOptions& options);

class Shake : public Module {
 public:
  // step is shared with whoever counts the steps.
  Shake(const Tensor& step, const ShakeOptions& options) : step_(step), options_(options) {}
  Tensor operator()(const Tensor& shortcut, const Tensor& a, const Tensor& b = {}) const;

 private:
  Tensor step_;
  ShakeOptions options_;
};

}  // namespace isda
