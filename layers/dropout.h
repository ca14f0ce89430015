// SPDX-License-Identifier: Apache-2.0
// Dropout: in training each element is made 0 with a probability and otherwise divided by 1 - probability; in evaluation y = x.
// What is dropped is a function of (seed, layer, step, element) alone, so that a resumed run drops the same.   kernels/elementwise/elementwise.h
#pragma once
#include "core/module.h"

namespace isda {

struct DropoutOptions {
  double probability = 0.5;  // of dropping: from 0, below 1
  std::uint64_t seed = 0;
  std::uint32_t layer = 0;  // tells apart the dropouts of one network
};

// step (1) i32, the training step. NOTE: backward() reads it again, and must find the value that the forward pass found.
Tensor dropout(const Tensor& x, const Tensor& step, const DropoutOptions& options);

class Dropout : public Module {
 public:
  // step is shared with whoever counts the steps.
  Dropout(const Tensor& step, const DropoutOptions& options) : step_(step), options_(options) {}
  Tensor operator()(const Tensor& x) const { return is_training() ? dropout(x, step_, options_) : x; }

 private:
  Tensor step_;
  DropoutOptions options_;
};

}  // namespace isda
