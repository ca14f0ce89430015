// SPDX-License-Identifier: Apache-2.0
#include "kernels/sgd/sgd.h"

namespace isda::kernels {

void run(Reference, const Context&, const Sgd& op) {
  const double momentum = op.momentum, weight_decay = op.weight_decay, learning_rate = op.learning_rate.at(0);
  for (const auto& tensor : op.tensors) {
    for (std::int64_t i = 0; i < tensor.parameter.size(); ++i) {
      const double p = tensor.parameter.at_offset(i);
      const double g = tensor.gradient.at_offset(i) + weight_decay * p;
      double direction = g;
      if (momentum > 0) {
        const double b = momentum * tensor.momentum.at_offset(i) + g;
        tensor.momentum.set_offset(b, i);
        direction = op.nesterov ? g + momentum * b : b;
      }
      tensor.parameter.set_offset(p - learning_rate * direction, i);
    }
  }
}

}  // namespace isda::kernels
