// SPDX-License-Identifier: Apache-2.0
#include "layers/two_flows.h"

#include "core/autograd.h"
#include "kernels/two_flows/two_flows.h"

namespace isda {

Tensor two_flows(const Tensor& x, int stride) {
  require(stride >= 1, "[two_flows] stride is {}, expected 1 or more", stride);
  const auto [N, H, W, C] = x.shape().extents<4>();
  const Tensor y({N, (H + stride - 1) / stride, (W + stride - 1) / stride, 2 * C}, x.type(), x.device());
  run(x.context(), kernels::TwoFlows{.x = x, .y = y, .stride = stride});
  return differentiable(y, {x}, [shape = x.shape(), stride](const Tensor& dy) {
    const Tensor dx(shape, dy.type(), dy.device());
    run(dy.context(), kernels::TwoFlowsBackward{.dy = dy, .dx = dx, .stride = stride});
    return Gradients{dx};
  });
}

}  // namespace isda
