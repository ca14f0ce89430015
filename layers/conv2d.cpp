// SPDX-License-Identifier: Apache-2.0
#include "layers/conv2d.h"

#include <cmath>

#include "core/autograd.h"
#include "core/mixed_precision.h"
#include "kernels/conv2d/conv2d.h"
#include "layers/window.h"

namespace isda {

namespace {

Tensor output_of(const Tensor& x, const Tensor& weight, const Conv2dOptions& options) {
  const auto [N, H, W, C] = x.shape().extents<4>();
  const auto [K, R, S, G] = weight.shape().extents<4>();
  const auto windows = [&](std::int64_t extent, std::int64_t kernel) { return window_count(extent, kernel, options.stride, options.padding); };
  return Tensor({N, windows(H, R), windows(W, S), K}, x.type(), x.device());
}

// y (in memory already) from x: the forward pass of both kinds. Returns the statistics of y where gradients are recorded.
BatchStatistics forward(const Tensor& x, const kernels::Conv2dPrologue& prologue, const Tensor& weight, const Conv2dOptions& options, const Tensor& y) {
  BatchStatistics statistics;
  if (needs_gradient(weight)) {
    const Shape channels{weight.extent(0)};
    statistics = {Tensor(channels, parameter_type(y.type()), y.device()), Tensor(channels, parameter_type(y.type()), y.device())};
  }
  run(x.context(), kernels::Conv2d{.x = x,
                                   .weight = operand_of(weight),
                                   .y = y,
                                   .stride = options.stride,
                                   .padding = options.padding,
                                   .groups = options.groups,
                                   .prologue = prologue,
                                   .epilogue = {.statistics = {.mean = statistics.mean, .variance = statistics.variance}}});
  return statistics;
}

Tensor weight_gradient(const Tensor& x, const kernels::Conv2dPrologue& prologue, const Tensor& dy, const Tensor& weight, const Conv2dOptions& options) {
  const Tensor dweight = Tensor::like(weight);
  run(dy.context(),
      kernels::Conv2dBackwardWeights{
          .x = x, .dy = dy, .dweight = dweight, .stride = options.stride, .padding = options.padding, .groups = options.groups, .prologue = prologue});
  return dweight;
}

Tensor data_gradient(const Tensor& dy, const Tensor& weight, const Tensor& x, const Conv2dOptions& options,
                     const kernels::Conv2dBackwardDataEpilogue& epilogue) {
  const Tensor dx = Tensor::like(x);
  run(dy.context(), kernels::Conv2dBackwardData{.dy = dy,
                                                .weight = operand_of(weight),
                                                .dx = dx,
                                                .stride = options.stride,
                                                .padding = options.padding,
                                                .groups = options.groups,
                                                .epilogue = epilogue});
  return dx;
}

Tensor with_statistics(Tensor y, const BatchStatistics& statistics) {
  if (y.history()) y.history()->statistics = statistics;
  return y;
}

Shape weight_shape(std::int64_t in, std::int64_t out, const Conv2dOptions& options) {
  require(options.groups >= 1 && in % options.groups == 0 && out % options.groups == 0, "[conv2d] {} groups must divide {} input and {} output channels",
          options.groups, in, out);
  return {out, options.kernel, options.kernel, in / options.groups};
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& weight, const Conv2dOptions& options) {
  const Tensor y = output_of(x, weight, options);
  const BatchStatistics statistics = forward(x, {}, weight, options, y);

  const Tensor result = differentiable(y, {x, weight}, [x, weight, options, x_needs_gradient = needs_gradient(x)](const Tensor& dy, Pending& pending) {
    const Tensor dweight = weight_gradient(x, {}, dy, weight, options);
    if (!x_needs_gradient) return Gradients{Tensor(), dweight};
    // What a normalisation before asks for is taken on the way.
    kernels::Conv2dBackwardDataEpilogue epilogue;
    if (GradientSums* asked = pending.asked(0)) {
      asked->sum = Tensor::like(asked->mean);
      asked->sum_centred = Tensor::like(asked->mean);
      epilogue.mask.x = asked->mask;
      epilogue.sums = {.x = asked->x, .mean = asked->mean, .sum = asked->sum, .sum_centred = asked->sum_centred};
    }
    const Tensor shortcut = pending.take(0);
    epilogue.residual = shortcut;
    return Gradients{data_gradient(dy, weight, x, options, epilogue), dweight};
  });
  return with_statistics(result, statistics);
}

Tensor conv2d(const Normalized& x, const Tensor& weight, const Conv2dOptions& options) {
  const Tensor y = output_of(x.x, weight, options);
  const BatchStatistics statistics = forward(x.x, {.scale = x.scale, .shift = x.shift, .relu = true}, weight, options, y);

  const Tensor result = differentiable(y, {x.x, x.weight, x.bias, weight}, [x, weight, options](const Tensor& dy, Pending& pending) {
    const Tensor dweight = weight_gradient(x.x, {.scale = x.scale, .shift = x.shift, .relu = true}, dy, weight, options);

    // Through the convolution and the ReLU, with the two sums that the normalisation needs; then through it, in place, with the gradient that x has already.
    const Tensor sum = Tensor::like(x.mean), sum_centred = Tensor::like(x.mean);
    const Tensor dx =
        data_gradient(dy, weight, x.x, options,
                      {.mask = {.x = x.x, .scale = x.scale, .shift = x.shift}, .sums = {.x = x.x, .mean = x.mean, .sum = sum, .sum_centred = sum_centred}});
    const Tensor dscale = Tensor::like(x.mean), dbias = Tensor::like(x.mean), from_elsewhere = pending.take(0);
    run_backward(dy.context(),
                 kernels::BatchNormBackward{.dy = dx,
                                            .x = x.x,
                                            .mean = x.mean,
                                            .variance = x.variance,
                                            .weight = x.weight,
                                            .sum_dz = sum,
                                            .sum_dz_x = sum_centred,
                                            .addend = from_elsewhere,
                                            .epsilon = x.epsilon,
                                            .dx = dx,
                                            .dweight = dscale,
                                            .dbias = dbias},
                 x.is_training);
    return Gradients{dx, dscale, dbias, dweight};
  });
  return with_statistics(result, statistics);
}

Conv2d::Conv2d(std::int64_t in, std::int64_t out, const Conv2dOptions& options)
    : weight(
          add_weight("weight", weight_shape(in, out, options), Initial::normal(std::sqrt(2.0 / static_cast<double>(options.kernel * options.kernel * out))))),
      options_(options) {}

}  // namespace isda
