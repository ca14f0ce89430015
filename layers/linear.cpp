// SPDX-License-Identifier: Apache-2.0
#include "layers/linear.h"

#include <cmath>

#include "core/autograd.h"
#include "kernels/linear/linear.h"

namespace isda {

Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Tensor y({x.extent(0), weight.extent(0)}, x.type(), x.device());
  run(x.context(), kernels::Linear{.x = x, .weight = weight, .bias = bias, .y = y});

  return differentiable(y, {x, weight, bias}, [x, weight, bias, x_needs_gradient = needs_gradient(x)](const Tensor& dy) {
    const Tensor dx = x_needs_gradient ? Tensor::like(x) : Tensor();
    const Tensor dweight = Tensor::like(weight), dbias = Tensor::like(bias);
    run(dy.context(), kernels::LinearBackward{.dy = dy, .x = x, .weight = weight, .dx = dx, .dweight = dweight, .dbias = dbias});
    return Gradients{dx, dweight, dbias};
  });
}

Linear::Linear(std::int64_t in, std::int64_t out)
    : weight(add_parameter("weight", {out, in}, Initial::uniform(1 / std::sqrt(static_cast<double>(in))))),
      bias(add_parameter("bias", {out}, Initial::uniform(1 / std::sqrt(static_cast<double>(in))))) {}

}  // namespace isda
