// SPDX-License-Identifier: Apache-2.0
#include "layers/add.h"

#include "core/autograd.h"
#include "kernels/elementwise/elementwise.h"

namespace isda {

Tensor add(const Tensor& a, const Tensor& b) {
  const Tensor y = Tensor::like(a);
  run(a.context(), kernels::Add{.a = a, .b = b, .y = y});
  return differentiable(y, {a, b}, [](const Tensor& dy) { return Gradients{dy, dy}; });
}

}  // namespace isda
