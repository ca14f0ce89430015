// SPDX-License-Identifier: Apache-2.0
// Batch normalisation: the checks and costs of its operations.
#include "kernels/batch_norm/batch_norm.h"

#include <utility>

#include "kernels/common/check.h"

namespace isda::kernels {

namespace {

// x is (...,C) of a floating type.
void check_x(const char* name, const ConstView& x) {
  check_given(name, "x", x);
  check_float(name, "x", x);
  require(x.shape().rank() >= 2, "[{}] x is {}, expected at least 2 extents: (...,C)", name, x.shape());
}

// `view` is an array of the shape and type of x.
void check_like_x(const char* name, const char* argument, const ConstView& view, const ConstView& x) {
  check_shape(name, argument, view, x.shape(), "the shape of x");
  check_type(name, argument, view, x.type());
}

// `view` holds one value for each of the channels of x.
void check_per_channel(const char* name, const char* argument, const ConstView& view, const ConstView& x) {
  require(static_cast<bool>(view), "[{}] {} was not given, expected ({}): the channels of x {}", name, argument, x.extent(-1), x.shape());
  require(view.shape() == Shape{x.extent(-1)}, "[{}] {} is {}, expected ({}): the channels of x {}", name, argument, view.shape(), x.extent(-1), x.shape());
  check_type(name, argument, view, parameter_type(x.type()));
}

void check_running(const char* name, const RunningStatistics& running, const ConstView& mean, const ConstView& variance) {
  require(static_cast<bool>(running.mean) == static_cast<bool>(running.variance), "[{}] running.mean and .variance come together or not at all, got one", name);
  if (!running.mean) return;
  for (const auto& [argument, view] : {std::pair("running.mean", running.mean), {"running.variance", running.variance}}) {
    check_shape(name, argument, view, mean.shape(), "the shape of mean");
    check_type(name, argument, view, mean.type());
    require(view.data() != mean.data() && view.data() != variance.data(), "[{}] {} is also what it is to follow: the batch's mean or variance", name, argument);
  }
  require(running.momentum >= 0 && running.momentum <= 1, "[{}] running.momentum is {}, expected 0 to 1", name, running.momentum);
}

void check_epsilon(const char* name, double epsilon) { require(epsilon > 0, "[{}] epsilon is {}, expected more than 0", name, epsilon); }

double size_of(const ConstView& view) { return static_cast<double>(view.size()); }

template <class... Views>
double bytes_of(const Views&... views) {
  return static_cast<double>((views.bytes() + ...));
}

}  // namespace

void check(const BatchNormStatistics& op) {
  check_x(op.name, op.x);
  check_per_channel(op.name, "mean", op.mean, op.x);
  check_per_channel(op.name, "variance", op.variance, op.x);
}

Cost cost(const BatchNormStatistics& op) { return {.flop = 5 * size_of(op.x), .bytes = bytes_of(op.x, op.mean, op.variance)}; }

void check(const BatchNormAffine& op) {
  check_rank(op.name, "mean", op.mean, 1, "(C)");
  check_epsilon(op.name, op.epsilon);
  const auto check_like_mean = [&](const char* argument, const ConstView& view) {
    check_shape(op.name, argument, view, op.mean.shape(), "the shape of mean");
    check_type(op.name, argument, view, op.mean.type());
  };
  check_like_mean("variance", op.variance);
  check_like_mean("weight", op.weight);
  check_like_mean("bias", op.bias);
  check_like_mean("scale", op.scale);
  check_like_mean("shift", op.shift);
  check_running(op.name, op.running, op.mean, op.variance);
  require(!op.running.mean || op.count >= 1, "[{}] count is {}, expected the number of values of a channel, 1 or more", op.name, op.count);
}

Cost cost(const BatchNormAffine& op) {
  return {.flop = 5 * size_of(op.mean) + 7 * size_of(op.running.mean),
          .bytes = bytes_of(op.mean, op.variance, op.weight, op.bias, op.scale, op.shift) + 2 * bytes_of(op.running.mean, op.running.variance)};
}

void check(const BatchNorm& op) {
  check_x(op.name, op.x);
  check_per_channel(op.name, "mean", op.mean, op.x);
  check_per_channel(op.name, "variance", op.variance, op.x);
  check_per_channel(op.name, "weight", op.weight, op.x);
  check_per_channel(op.name, "bias", op.bias, op.x);
  if (op.residual) check_like_x(op.name, "residual", op.residual, op.x);
  check_like_x(op.name, "y", op.y, op.x);
  check_running(op.name, op.running, op.mean, op.variance);
  check_epsilon(op.name, op.epsilon);
}

Cost cost(const BatchNorm& op) {
  return {.flop = (2 + (op.residual ? 1 : 0) + (op.relu ? 1 : 0)) * size_of(op.x) + 7 * size_of(op.running.mean),
          .bytes = bytes_of(op.x, op.residual, op.y, op.mean, op.variance, op.weight, op.bias) + 2 * bytes_of(op.running.mean, op.running.variance)};
}

void check(const BatchNormBackwardReduce& op) {
  check_x(op.name, op.x);
  check_like_x(op.name, "dy", op.dy, op.x);
  if (op.y) check_like_x(op.name, "y", op.y, op.x);
  check_per_channel(op.name, "mean", op.mean, op.x);
  check_per_channel(op.name, "sum_dz", op.sum_dz, op.x);
  check_per_channel(op.name, "sum_dz_x", op.sum_dz_x, op.x);
}

Cost cost(const BatchNormBackwardReduce& op) { return {.flop = 4 * size_of(op.x), .bytes = bytes_of(op.dy, op.x, op.y, op.mean, op.sum_dz, op.sum_dz_x)}; }

void check(const BatchNormBackward& op) {
  check_x(op.name, op.x);
  check_like_x(op.name, "dy", op.dy, op.x);
  if (op.y) check_like_x(op.name, "y", op.y, op.x);
  check_per_channel(op.name, "mean", op.mean, op.x);
  check_per_channel(op.name, "variance", op.variance, op.x);
  check_per_channel(op.name, "weight", op.weight, op.x);
  check_per_channel(op.name, "sum_dz", op.sum_dz, op.x);
  check_per_channel(op.name, "sum_dz_x", op.sum_dz_x, op.x);
  check_like_x(op.name, "dx", op.dx, op.x);
  if (op.dresidual) check_like_x(op.name, "dresidual", op.dresidual, op.x);
  if (op.addend) check_like_x(op.name, "addend", op.addend, op.x);
  require(!op.addend || (!op.y && !op.dresidual), "[{}] addend was given beside {}, expected only one of them", op.name, op.y ? "y" : "dresidual");
  require(op.dresidual.data() != op.dx.data(), "[{}] dresidual and dx are the same memory; only one of them may be dy", op.name);
  if (op.dweight) check_per_channel(op.name, "dweight", op.dweight, op.x);
  if (op.dbias) check_per_channel(op.name, "dbias", op.dbias, op.x);
  check_epsilon(op.name, op.epsilon);
}

Cost cost(const BatchNormBackward& op) {
  return {.flop = (4 + (op.addend ? 1 : 0)) * size_of(op.x),
          .bytes = bytes_of(op.dy, op.x, op.y, op.addend, op.dx, op.dresidual, op.mean, op.variance, op.weight, op.sum_dz, op.sum_dz_x, op.dweight, op.dbias)};
}

}  // namespace isda::kernels
