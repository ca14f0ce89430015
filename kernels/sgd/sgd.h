// SPDX-License-Identifier: Apache-2.0
// One step of stochastic gradient descent on all tensors of a network in one pass, as PyTorch's torch.optim.SGD does it:
//
//   g = gradient + weight_decay * p       b = momentum * b + g       p = p - learning_rate * (nesterov ? g + momentum * b : b)
//
// With momentum 0, b is neither read nor written, and p = p - learning_rate * g. PyTorch starts b at the first g; starting it at 0 is the same.
//   f32 or f64   FLOP 6 an element (2 more with nesterov)   bytes parameter and b twice, gradient and copy once
//
// A network that computes in bf16 keeps its parameters in f32, so that steps smaller than a bf16 can tell still add up, and computes with a copy:
// Micikevicius et al., Mixed Precision Training, 2018, section 3.1. The step writes the copies of the tensors that have one.
//
// On the cuda device any number of tensors takes a launch for every 80 of them, by a table that a captured graph records with it (sgd.cu).
#pragma once
#include <span>

#include "kernels/common/operation.h"

namespace isda::kernels {

// The arrays of one tensor: any shape, the same for all of them; but for the copy, one type for all tensors of a step.
struct SgdTensor {
  View parameter;  // p, updated
  ConstView gradient;
  View momentum = {};  // b, updated, starts at 0; optional where the momentum is 0
  View copy = {};      // optional, bf16, overwritten: the updated parameter, rounded
};

struct Sgd {
  static constexpr auto name = "sgd";
  std::span<const SgdTensor> tensors;  // NOTE: not owned; must live until run() returns
  ConstView learning_rate;             // (1), the parameters' type; in device memory, since it changes between replays
  double momentum = 0;
  double weight_decay = 0;
  bool nesterov = false;  // needs a momentum
};
ISDA_OPERATION(Sgd);

}  // namespace isda::kernels
