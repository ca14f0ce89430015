// SPDX-License-Identifier: Apache-2.0
#include "losses/loss.h"

#include "core/autograd.h"
#include "kernels/elementwise/elementwise.h"
#include "layers/global_average.h"

namespace isda {

Tensor features_of(const Tensor& maps) { return maps.shape().rank() == 4 ? global_average(maps) : maps; }

Tensor scaled(const Tensor& x, const Tensor& factor) {
  const Tensor y = Tensor::like(x);
  run(x.context(), kernels::Scale{.x = x, .factor = factor, .y = y});
  return y;
}

Tensor with_gradients(const Tensor& loss, std::initializer_list<Tensor> inputs, const std::vector<Tensor>& gradients) {
  return differentiable(loss, inputs, [gradients](const Tensor& dloss) {
    if (is_one(dloss)) return gradients;
    std::vector<Tensor> result;
    for (const Tensor& gradient : gradients) result.push_back(scaled(gradient, dloss));
    return result;
  });
}

}  // namespace isda
