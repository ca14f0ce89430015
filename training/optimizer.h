// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent with momentum, Nesterov's or the classical, and weight decay; one pass over all parameters, which writes their bf16 copies too.
//   b <- momentum b + g + decay p;   p <- p - lr (g + decay p + momentum b)  (Nesterov)  or  p - lr b       kernels/sgd/sgd.h
#pragma once
#include <vector>

#include "core/module.h"

namespace isda {

struct SgdOptions {
  double momentum = 0.9;
  double weight_decay = 1e-4;
  bool nesterov = true;
};

class SgdOptimizer {
 public:
  SgdOptimizer(const Module& module, const SgdOptions& options);

  void set_learning_rate(double rate);
  double learning_rate() const { return learning_rate_.item(); }
  // Applies the gradients that backward() left at the parameters, and clears them.
  void step();
  // The momentum of each parameter, under the parameter's name.
  const std::vector<NamedTensor>& state() const { return momenta_; }

 private:
  SgdOptions options_;
  std::vector<NamedTensor> parameters_, momenta_;
  Tensor learning_rate_;  // (1), on the device
};

}  // namespace isda
