// SPDX-License-Identifier: Apache-2.0
#include "layers/scale_channels.h"

#include "core/autograd.h"
#include "kernels/elementwise/elementwise.h"

namespace isda {

Tensor scale_channels(const Tensor& x, const Tensor& scale) {
  const Tensor y = Tensor::like(x);
  run(x.context(), kernels::ScaleChannels{.x = x, .scale = scale, .y = y});
  return differentiable(y, {x, scale}, [x, scale](const Tensor& dy) {
    const Tensor dx = Tensor::like(x), dscale = Tensor::like(scale);
    run(dy.context(), kernels::ScaleChannelsBackward{.dy = dy, .x = x, .scale = scale, .dx = dx, .dscale = dscale});
    return Gradients{dx, dscale};
  });
}

}  // namespace isda
