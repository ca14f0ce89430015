// SPDX-License-Identifier: Apache-2.0
#include "layers/pooling.h"

#include "core/autograd.h"
#include "kernels/pooling/pooling.h"
#include "layers/window.h"

namespace isda {

namespace {

Shape pooled_shape(const Tensor& x, const PoolingOptions& options) {
  const auto [N, H, W, C] = x.shape().extents<4>();
  const auto pooled = [&](std::int64_t extent) { return window_count(extent, options.kernel, options.stride, options.padding); };
  return {N, pooled(H), pooled(W), C};
}

}  // namespace

Tensor max_pool2d(const Tensor& x, const PoolingOptions& options) {
  const Tensor y(pooled_shape(x, options), x.type(), x.device());
  const Tensor indices(y.shape(), DType::i32, x.device());
  run(x.context(), kernels::MaxPool2d{.x = x, .y = y, .indices = indices, .kernel = options.kernel, .stride = options.stride, .padding = options.padding});
  return differentiable(y, {x}, [shape = x.shape(), indices, options](const Tensor& dy) {
    const Tensor dx(shape, dy.type(), dy.device());
    run(dy.context(),
        kernels::MaxPool2dBackward{.dy = dy, .indices = indices, .dx = dx, .kernel = options.kernel, .stride = options.stride, .padding = options.padding});
    return Gradients{dx};
  });
}

Tensor average_pool2d(const Tensor& x, const PoolingOptions& options) {
  const Tensor y(pooled_shape(x, options), x.type(), x.device());
  run(x.context(), kernels::AveragePool2d{.x = x, .y = y, .kernel = options.kernel, .stride = options.stride, .padding = options.padding});
  return differentiable(y, {x}, [shape = x.shape(), options](const Tensor& dy) {
    const Tensor dx(shape, dy.type(), dy.device());
    run(dy.context(), kernels::AveragePool2dBackward{.dy = dy, .dx = dx, .kernel = options.kernel, .stride = options.stride, .padding = options.padding});
    return Gradients{dx};
  });
}

}  // namespace isda
