// SPDX-License-Identifier: Apache-2.0
#include "layers/global_average.h"

#include "core/autograd.h"
#include "kernels/pooling/pooling.h"

namespace isda {

Tensor global_average(const Tensor& x) {
  const Tensor y({x.extent(0), x.extent(3)}, parameter_type(x.type()), x.device());
  run(x.context(), kernels::GlobalAverage{.x = x, .y = y});
  return differentiable(y, {x}, [shape = x.shape(), type = x.type()](const Tensor& dy) {
    const Tensor dx(shape, type, dy.device());
    run(dy.context(), kernels::GlobalAverageBackward{.dy = dy, .dx = dx});
    return Gradients{dx};
  });
}

}  // namespace isda
