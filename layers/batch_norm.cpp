// SPDX-License-Identifier: Apache-2.0
#include "layers/batch_norm.h"

#include "core/autograd.h"
#include "kernels/batch_norm/batch_norm.h"

namespace isda {

BatchNorm::BatchNorm(std::int64_t channels, float momentum, float epsilon)
    : weight(add_parameter("weight", {channels}, Initial::constant(1))),
      bias(add_parameter("bias", {channels}, Initial::constant(0))),
      running_mean(add_buffer("running_mean", {channels}, 0)),
      running_variance(add_buffer("running_var", {channels}, 1)),
      momentum_(momentum),
      epsilon_(epsilon) {}

Tensor BatchNorm::operator()(const Tensor& x, const BatchNormOptions& options) const {
  const Tensor& residual = options.residual;
  Tensor mean = running_mean, variance = running_variance;
  if (is_training()) {
    mean = Tensor::like(bias);
    variance = Tensor::like(bias);
    run(x.context(), kernels::BatchNormStatistics{.x = x, .mean = mean, .variance = variance});
    run(x.context(), kernels::BatchNormRunning{.mean = mean,
                                               .variance = variance,
                                               .count = x.size() / x.extent(-1),
                                               .momentum = momentum_,
                                               .running_mean = running_mean,
                                               .running_variance = running_variance});
  }
  const Tensor y = Tensor::like(x);
  run(x.context(), kernels::BatchNorm{.x = x,
                                      .mean = mean,
                                      .variance = variance,
                                      .weight = weight,
                                      .bias = bias,
                                      .residual = residual,
                                      .relu = options.relu,
                                      .epsilon = epsilon_,
                                      .y = y});
  if (!is_training()) return y;

  // NOTE: y is saved for the ReLU's mask only; its sign survives in it.
  return differentiable(y, {x, weight, bias, residual},
                        [x, weight = weight, mean, variance, mask = options.relu ? y : Tensor(), has_residual = needs_gradient(residual),
                         epsilon = epsilon_](const Tensor& dy) {
                          const Tensor sum_dz = Tensor::like(mean), sum_dz_x = Tensor::like(mean);
                          run(dy.context(), kernels::BatchNormBackwardReduce{.dy = dy, .x = x, .y = mask, .mean = mean, .sum_dz = sum_dz, .sum_dz_x = sum_dz_x});
                          const Tensor dx = Tensor::like(x), dweight = Tensor::like(mean), dbias = Tensor::like(mean);
                          const Tensor dresidual = has_residual ? Tensor::like(x) : Tensor();
                          run(dy.context(), kernels::BatchNormBackward{.dy = dy,
                                                                       .x = x,
                                                                       .y = mask,
                                                                       .mean = mean,
                                                                       .variance = variance,
                                                                       .weight = weight,
                                                                       .sum_dz = sum_dz,
                                                                       .sum_dz_x = sum_dz_x,
                                                                       .epsilon = epsilon,
                                                                       .dx = dx,
                                                                       .dresidual = dresidual,
                                                                       .dweight = dweight,
                                                                       .dbias = dbias});
                          return Gradients{dx, dweight, dbias, dresidual};
                        });
}

}  // namespace isda
