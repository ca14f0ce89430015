// SPDX-License-Identifier: Apache-2.0
#include "layers/conv2d.h"

#include <cmath>

#include "core/autograd.h"
#include "kernels/conv2d/conv2d.h"

namespace isda {

namespace {

std::int64_t output_extent(std::int64_t in, std::int64_t kernel, const Conv2dOptions& options) {
  return (in + 2 * options.padding - kernel) / options.stride + 1;
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Conv2dOptions& options) {
  const auto [N, H, W, C] = x.shape().extents<4>();
  const auto [K, R, S, G] = weight.shape().extents<4>();
  Tensor y({N, output_extent(H, R, options), output_extent(W, S, options), K}, x.type(), x.device());
  run(x.context(), kernels::Conv2d{.x = x, .weight = weight, .y = y, .stride = options.stride, .padding = options.padding, .groups = options.groups});

  return differentiable(y, {x, weight}, [x, weight, options, x_needs_gradient = needs_gradient(x)](const Tensor& dy, Pending& pending) {
    const Tensor dweight = Tensor::like(weight);
    run(dy.context(), kernels::Conv2dBackwardWeights{
                          .x = x, .dy = dy, .dweight = dweight, .stride = options.stride, .padding = options.padding, .groups = options.groups});
    if (!x_needs_gradient) return Gradients{Tensor(), dweight};
    const Tensor dx = Tensor::like(x);
    const Tensor other = pending.take(0);
    run(dy.context(), kernels::Conv2dBackwardData{.dy = dy,
                                                  .weight = weight,
                                                  .dx = dx,
                                                  .stride = options.stride,
                                                  .padding = options.padding,
                                                  .groups = options.groups,
                                                  .epilogue = {.residual = other}});
    return Gradients{dx, dweight};
  });
}

Conv2d::Conv2d(std::int64_t in, std::int64_t out, const Conv2dOptions& options)
    : weight(add_parameter("weight", {out, options.kernel, options.kernel, in / options.groups},
                           Initial::normal(std::sqrt(2.0 / static_cast<double>(options.kernel * options.kernel * out))))),
      options_(options) {
  require(in % options.groups == 0 && out % options.groups == 0, "[conv2d] {} groups must divide {} input and {} output channels", options.groups, in, out);
}

}  // namespace isda
