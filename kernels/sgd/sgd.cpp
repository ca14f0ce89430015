// SPDX-License-Identifier: Apache-2.0
#include "kernels/sgd/sgd.h"

#include "kernels/common/check.h"

namespace isda::kernels {

void check(const Sgd& op) {
  require(!op.tensors.empty(), "[sgd] there are no tensors");
  const DType type = op.tensors.front().parameter.type();
  require(type == DType::f32 || type == DType::f64, "[sgd] parameters are {}, expected f32 or f64", name_of(type));
  require(op.momentum >= 0 && op.momentum <= 1, "[sgd] momentum is {}, expected 0 to 1", op.momentum);
  require(op.weight_decay >= 0, "[sgd] weight_decay is {}, expected 0 or more", op.weight_decay);
  require(!op.nesterov || op.momentum > 0, "[sgd] nesterov needs a momentum above 0, got {}", op.momentum);
  check_shape(op.name, "learning_rate", op.learning_rate, {1}, "one number");
  check_type(op.name, "learning_rate", op.learning_rate, type);
  for (std::size_t i = 0; i < op.tensors.size(); ++i) {
    const auto& [parameter, gradient, momentum] = op.tensors[i];
    const auto check_array = [&](const char* array, const ConstView& view) {
      const std::string name = fmt::format("tensors[{}].{}", i, array);
      check_shape(op.name, name, view, parameter.shape(), "the parameter's shape");
      check_type(op.name, name, view, type);
    };
    check_given(op.name, fmt::format("tensors[{}].parameter", i), parameter);
    check_array("parameter", parameter);
    check_array("gradient", gradient);
    if (op.momentum > 0) check_array("momentum", momentum);
  }
}

Cost cost(const Sgd& op) {
  Cost total;
  for (const auto& [parameter, gradient, momentum] : op.tensors) {
    total.flop += static_cast<double>(parameter.size()) * (op.nesterov ? 8 : 6);
    total.bytes += static_cast<double>(2 * parameter.bytes() + gradient.bytes() + (op.momentum > 0 ? 2 * parameter.bytes() : 0));
  }
  return total;
}

}  // namespace isda::kernels
