// SPDX-License-Identifier: Apache-2.0
#include "core/mixed_precision.h"

#include "core/autograd.h"

namespace isda {

void keep_bf16_copy(const Tensor& parameter) {
  require(parameter.history() && !parameter.history()->maker, "[mixed precision] only a parameter can have a bf16 copy, got a tensor {} that is none",
          parameter.shape());
  require(parameter.type() == DType::f32, "[mixed precision] a parameter of {} has no bf16 copy, expected f32", name_of(parameter.type()));
  parameter.history()->bf16_copy = parameter.to(DType::bf16, parameter.device());
}

Tensor bf16_copy_of(const Tensor& parameter) { return parameter.history() ? parameter.history()->bf16_copy : Tensor(); }

Tensor operand_of(const Tensor& parameter) {
  const Tensor copy = bf16_copy_of(parameter);
  return copy ? copy : parameter.detached();
}

void refresh_bf16_copy(const Tensor& parameter) {
  if (const Tensor rounded = bf16_copy_of(parameter)) copy(parameter, rounded);
}

}  // namespace isda
