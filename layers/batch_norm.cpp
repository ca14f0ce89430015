// SPDX-License-Identifier: Apache-2.0
#include "layers/batch_norm.h"

namespace isda {

void run_backward(const Context& context, const kernels::BatchNormBackward& operation, bool is_training) {
  if (is_training) return run(context, operation);
  // The sums are for weight and bias alone.
  const Shape &shape = operation.x.shape(), &channels = operation.mean.shape();
  const Tensor unused(shape, operation.dx.type(), context.device());
  kernels::BatchNormBackward parameters = operation;
  parameters.dx = unused;
  parameters.dresidual = {};
  parameters.addend = {};
  run(context, parameters);
  const Tensor zeros = Tensor::zeros(channels, operation.mean.type(), context.device());
  kernels::BatchNormBackward data = operation;
  data.sum_dz = data.sum_dz_x = zeros;
  data.dweight = data.dbias = {};
  run(context, data);
}

BatchNorm::BatchNorm(std::int64_t channels, double momentum, double epsilon)
    : weight(add_parameter("weight", {channels}, Initial::constant(1))),
      bias(add_parameter("bias", {channels}, Initial::constant(0))),
      running_mean(add_buffer("running_mean", {channels}, 0)),
      running_variance(add_buffer("running_var", {channels}, 1)),
      momentum_(momentum),
      epsilon_(epsilon) {}

// In training the batch's, which the convolution that made x, or whoever asked before, may have left with it.
BatchStatistics BatchNorm::statistics_of(const Tensor& x) const {
  if (!is_training()) return {running_mean, running_variance};
  BatchStatistics batch = x.history() ? x.history()->statistics : BatchStatistics();
  if (!batch.mean) {
    batch = {Tensor::like(bias), Tensor::like(bias)};
    run(x.context(), kernels::BatchNormStatistics{.x = x, .mean = batch.mean, .variance = batch.variance});
    // NOTE: left with what a step computed, for another that asks; a leaf may be written to.
    if (x.history() && x.history()->maker) x.history()->statistics = batch;
  }
  return batch;
}

// What follows the batch's statistics in training.
kernels::RunningStatistics BatchNorm::followers() const {
  if (!is_training()) return {};
  return {.mean = running_mean, .variance = running_variance, .momentum = momentum_};
}

Normalized BatchNorm::relu_on_load(const Tensor& x) const {
  const auto [mean, variance] = statistics_of(x);
  const Tensor scale = Tensor::like(bias), shift = Tensor::like(bias);
  run(x.context(), kernels::BatchNormAffine{.mean = mean,
                                            .variance = variance,
                                            .weight = weight,
                                            .bias = bias,
                                            .epsilon = epsilon_,
                                            .scale = scale,
                                            .shift = shift,
                                            .running = followers(),
                                            .count = x.size() / x.extent(-1)});
  return {.x = x,
          .mean = mean,
          .variance = variance,
          .weight = weight,
          .bias = bias,
          .scale = scale,
          .shift = shift,
          .epsilon = epsilon_,
          .is_training = is_training()};
}

Tensor BatchNorm::operator()(const Tensor& x, const BatchNormOptions& options) const {
  const Tensor& residual = options.residual;
  const auto [mean_of_x, variance_of_x] = statistics_of(x);
  const Tensor mean = mean_of_x, variance = variance_of_x;
  const Tensor y = Tensor::like(x);
  run(x.context(), kernels::BatchNorm{.x = x,
                                      .mean = mean,
                                      .variance = variance,
                                      .weight = weight,
                                      .bias = bias,
                                      .residual = residual,
                                      .relu = options.relu,
                                      .epsilon = epsilon_,
                                      .y = y,
                                      .running = followers()});

  // NOTE: y is saved for the ReLU's mask only; its sign survives in it.
  const auto sums = std::make_shared<GradientSums>(GradientSums{.x = x.detached(), .mean = mean, .mask = options.relu ? y : Tensor()});
  const bool has_residual = needs_gradient(residual), training = is_training();
  const auto backward = [sums, variance, weight = weight, has_residual, training, epsilon = epsilon_](const Tensor& dy) {
    const bool are_taken = static_cast<bool>(sums->sum);
    // Unless somebody has masked the gradient and taken the sums already, do so.
    const Tensor mask = are_taken ? Tensor() : sums->mask;
    if (!are_taken) {
      sums->sum = Tensor::like(sums->mean);
      sums->sum_centred = Tensor::like(sums->mean);
      run(dy.context(),
          kernels::BatchNormBackwardReduce{.dy = dy, .x = sums->x, .y = mask, .mean = sums->mean, .sum_dz = sums->sum, .sum_dz_x = sums->sum_centred});
    }
    // A gradient that is masked is the residual's as it is.
    const Tensor dresidual = !has_residual ? Tensor() : mask ? Tensor::like(dy) : dy;
    const Tensor dx = Tensor::like(dy), dweight = Tensor::like(sums->mean), dbias = Tensor::like(sums->mean);
    run_backward(dy.context(),
                 kernels::BatchNormBackward{.dy = dy,
                                            .x = sums->x,
                                            .y = mask,
                                            .mean = sums->mean,
                                            .variance = variance,
                                            .weight = weight,
                                            .sum_dz = sums->sum,
                                            .sum_dz_x = sums->sum_centred,
                                            .epsilon = epsilon,
                                            .dx = dx,
                                            .dresidual = mask ? dresidual : Tensor(),
                                            .dweight = dweight,
                                            .dbias = dbias},
                 training);
    return Gradients{dx, dweight, dbias, dresidual};
  };
  const Tensor result = differentiable(y, {x, weight, bias, residual}, backward);
  if (result.history()) result.history()->asked = sums;
  return result;
}

}  // namespace isda
