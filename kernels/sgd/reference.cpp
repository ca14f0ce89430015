// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent: the definition.
#include "kernels/sgd/sgd.h"

namespace isda::kernels {

void run(Reference, const Context&, const Sgd& op) {
  const double learning_rate = op.learning_rate.at(0);
  const double momentum = op.momentum, weight_decay = op.weight_decay;
  for (const auto& [parameter, gradient, buffer, copy] : op.tensors) {
    for (std::int64_t i = 0; i < parameter.size(); ++i) {
      const double p = parameter.at_offset(i);
      const double g = gradient.at_offset(i) + weight_decay * p;
      double step = g;
      if (op.momentum > 0) {
        const double b = momentum * buffer.at_offset(i) + g;
        buffer.set_offset(b, i);
        step = op.nesterov ? g + momentum * b : b;
      }
      parameter.set_offset(p - learning_rate * step, i);
      if (copy) copy.set_offset(p - learning_rate * step, i);
    }
  }
}

}  // namespace isda::kernels
