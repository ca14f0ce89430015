// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent: the checks and the cost of a step.
#include "kernels/sgd/sgd.h"

#include "kernels/common/check.h"

namespace isda::kernels {

void check(const Sgd& op) {
  require(!op.tensors.empty(), "[{}] there are no tensors to update", op.name);
  require(op.momentum >= 0 && op.momentum <= 1, "[{}] momentum is {}, expected 0 to 1", op.name, op.momentum);
  require(op.weight_decay >= 0, "[{}] weight_decay is {}, expected 0 or more", op.name, op.weight_decay);
  require(!op.nesterov || op.momentum > 0, "[{}] nesterov needs a momentum above 0", op.name);
  const DType type = op.tensors.front().parameter.type();
  require(type == DType::f32 || type == DType::f64, "[{}] the parameters are {}, expected f32 or f64", op.name, name_of(type));
  check_shape(op.name, "learning_rate", op.learning_rate, {1}, "one learning rate for all tensors");
  check_type(op.name, "learning_rate", op.learning_rate, type);
  for (std::size_t i = 0; i < op.tensors.size(); ++i) {
    const auto& [parameter, gradient, momentum, copy] = op.tensors[i];
    const auto check_part = [&, i](const char* part, const ConstView& view, const Shape& expected) {
      require(static_cast<bool>(view), "[{}] the {} of tensor {} was not given", Sgd::name, part, i);
      require(view.shape() == expected, "[{}] the {} of tensor {} is {}, expected {}: the shape of its parameter", Sgd::name, part, i, view.shape(), expected);
    };
    const auto check_part_type = [&, i](const char* part, const ConstView& view) {
      require(view.type() == type, "[{}] the {} of tensor {} is {}, expected {} as the first parameter", Sgd::name, part, i, name_of(view.type()),
              name_of(type));
    };
    check_part("parameter", parameter, parameter.shape());
    check_part_type("parameter", parameter);
    check_part("gradient", gradient, parameter.shape());
    check_part_type("gradient", gradient);
    if (op.momentum > 0 || momentum) {
      check_part("momentum", momentum, parameter.shape());
      check_part_type("momentum", momentum);
    }
    if (copy) {
      check_part("copy", copy, parameter.shape());
      require(copy.type() == DType::bf16, "[{}] the copy of tensor {} is {}, expected bf16", op.name, i, name_of(copy.type()));
    }
  }
}

Cost cost(const Sgd& op) {
  Cost cost;
  for (const SgdTensor& tensor : op.tensors) {
    const auto bytes = static_cast<double>(tensor.parameter.bytes());
    cost.flop += (op.momentum > 0 ? (op.nesterov ? 8 : 6) : 4) * static_cast<double>(tensor.parameter.size());
    cost.bytes += (op.momentum > 0 ? 5 : 3) * bytes + static_cast<double>(tensor.copy.bytes());
  }
  return cost;
}

}  // namespace isda::kernels
