// SPDX-License-Identifier: Apache-2.0
#include "layers/relu.h"

#include "core/autograd.h"
#include "kernels/elementwise/elementwise.h"

namespace isda {

Tensor relu(const Tensor& x) {
  const Tensor y = Tensor::like(x);
  run(x.context(), kernels::Relu{.x = x, .y = y});
  return differentiable(y, {x}, [y](const Tensor& dy) {
    const Tensor dx = Tensor::like(dy);
    run(dy.context(), kernels::ReluBackward{.dy = dy, .y = y, .dx = dx});
    return Gradients{dx};
  });
}

}  // namespace isda
