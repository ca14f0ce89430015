// SPDX-License-Identifier: Apache-2.0
// Batch normalisation on the cpu device: the passes that write an array. The sums over rows are in cpu_reductions.cpp.
//
// What belongs to a channel is folded into a few coefficients first; then rows are visited in order of memory, with channels as the
// inner, vectorised loop. The difference x - mean is taken first, so that a mean that is large against the deviation costs no digits.
#include <algorithm>
#include <cmath>

#include "kernels/batch_norm/batch_norm.h"
#include "kernels/common/check.h"
#include "kernels/common/parallel.h"

namespace isda::kernels {

namespace {

constexpr std::int64_t kRangeElements = 16 * 1024;  // of x, in a range of rows

std::int64_t rows_per_range(std::int64_t channels) { return std::max<std::int64_t>(kRangeElements / channels, 1); }

double inverse_deviation(float variance, double epsilon) { return 1 / std::sqrt(static_cast<double>(variance) + epsilon); }

// y = (x - mean) * scale + bias [+ residual] [, below 0 made 0] for the rows [begin, end).
template <bool has_residual, bool has_relu>
void normalise(const float* x, const float* mean, const float* scale, const float* bias, const float* residual, float* y, std::int64_t begin, std::int64_t end,
               std::int64_t C) {
  for (std::int64_t m = begin; m < end; ++m) {
#pragma omp simd
    for (std::int64_t c = 0; c < C; ++c) {
      const std::int64_t i = m * C + c;
      float value = (x[i] - mean[c]) * scale[c] + bias[c];
      if constexpr (has_residual) value += residual[i];
      if constexpr (has_relu) value = value < 0 ? 0.0f : value;
      y[i] = value;
    }
  }
}

// dx = scale * (dz - through_mean - (x - mean) * through_variance) [+ addend], dresidual = dz for the rows [begin, end).
template <bool is_masked, bool has_residual, bool is_added_to = false>
void differentiate(const float* dy, const float* x, const float* y, const float* addend, const float* mean, const float* scale, const float* through_mean,
                   const float* through_variance, float* dx, float* dresidual, std::int64_t begin, std::int64_t end, std::int64_t C) {
  for (std::int64_t m = begin; m < end; ++m) {
#pragma omp simd
    for (std::int64_t c = 0; c < C; ++c) {
      const std::int64_t i = m * C + c;
      float dz = dy[i];
      if constexpr (is_masked) dz = y[i] > 0 ? dz : 0.0f;
      float value = scale[c] * (dz - through_mean[c] - (x[i] - mean[c]) * through_variance[c]);
      if constexpr (is_added_to) value += addend[i];
      dx[i] = value;
      if constexpr (has_residual) dresidual[i] = dz;
    }
  }
}

void follow(const RunningStatistics& running, const ConstView& mean, const ConstView& variance, std::int64_t count) {
  if (!running.mean) return;
  const double unbias = count > 1 ? static_cast<double>(count) / static_cast<double>(count - 1) : 0;
  const auto update = [momentum = running.momentum](float* value, double batch) {
    *value = static_cast<float>((1 - momentum) * static_cast<double>(*value) + momentum * batch);
  };
  for (std::int64_t c = 0; c < mean.size(); ++c) {
    update(running.mean.as<float>() + c, static_cast<double>(mean.as<float>()[c]));
    if (count > 1) update(running.variance.as<float>() + c, static_cast<double>(variance.as<float>()[c]) * unbias);
  }
}

}  // namespace

void run(Cpu, const Context&, const BatchNormAffine& op) {
  check_cpu(op.name, op.mean);
  const float *mean = op.mean.as<float>(), *variance = op.variance.as<float>(), *weight = op.weight.as<float>(), *bias = op.bias.as<float>();
  float *scale = op.scale.as<float>(), *shift = op.shift.as<float>();
  for (std::int64_t c = 0; c < op.mean.size(); ++c) {
    const double factor = static_cast<double>(weight[c]) * inverse_deviation(variance[c], op.epsilon);
    scale[c] = static_cast<float>(factor);
    shift[c] = static_cast<float>(static_cast<double>(bias[c]) - static_cast<double>(mean[c]) * factor);
  }
  follow(op.running, op.mean, op.variance, op.count);
}

void run(Cpu, const Context& context, const BatchNorm& op) {
  check_cpu(op.name, op.x);
  const std::int64_t C = op.x.extent(-1), M = op.x.size() / C;
  Scratch scratch = context.scratch();
  auto* scale = scratch.take<float>(C);
  for (std::int64_t c = 0; c < C; ++c) {
    scale[c] = static_cast<float>(static_cast<double>(op.weight.as<float>()[c]) * inverse_deviation(op.variance.as<float>()[c], op.epsilon));
  }
  const auto pass = op.residual ? (op.relu ? normalise<true, true> : normalise<true, false>) : (op.relu ? normalise<false, true> : normalise<false, false>);
  const float *x = op.x.as<float>(), *mean = op.mean.as<float>(), *bias = op.bias.as<float>(), *residual = op.residual.as<float>();
  float* y = op.y.as<float>();
  parallel_ranges(context, M, rows_per_range(C), [=](std::int64_t begin, std::int64_t end) { pass(x, mean, scale, bias, residual, y, begin, end, C); });
  follow(op.running, op.mean, op.variance, M);
}

void run(Cpu, const Context& context, const BatchNormBackward& op) {
  check_cpu(op.name, op.x);
  const std::int64_t C = op.x.extent(-1), M = op.x.size() / C;
  const float *mean = op.mean.as<float>(), *sum_dz = op.sum_dz.as<float>(), *sum_dz_x = op.sum_dz_x.as<float>();
  Scratch scratch = context.scratch();
  auto* scale = scratch.take<float>(C);
  auto* through_mean = scratch.take<float>(C);
  auto* through_variance = scratch.take<float>(C);
  for (std::int64_t c = 0; c < C; ++c) {
    const double invstd = inverse_deviation(op.variance.as<float>()[c], op.epsilon);
    const double rows = static_cast<double>(M);
    scale[c] = static_cast<float>(static_cast<double>(op.weight.as<float>()[c]) * invstd);
    through_mean[c] = static_cast<float>(static_cast<double>(sum_dz[c]) / rows);
    through_variance[c] = static_cast<float>(static_cast<double>(sum_dz_x[c]) * invstd * invstd / rows);
    if (op.dweight) op.dweight.as<float>()[c] = static_cast<float>(static_cast<double>(sum_dz_x[c]) * invstd);
    if (op.dbias) op.dbias.as<float>()[c] = sum_dz[c];
  }
  const auto unmasked = op.addend ? differentiate<false, false, true> : op.dresidual ? differentiate<false, true> : differentiate<false, false>;
  const auto pass = op.y ? (op.dresidual ? differentiate<true, true> : differentiate<true, false>) : unmasked;
  const float *dy = op.dy.as<float>(), *x = op.x.as<float>(), *y = op.y.as<float>(), *addend = op.addend.as<float>();
  float *dx = op.dx.as<float>(), *dresidual = op.dresidual.as<float>();
  parallel_ranges(context, M, rows_per_range(C), [=](std::int64_t begin, std::int64_t end) {
    pass(dy, x, y, addend, mean, scale, through_mean, through_variance, dx, dresidual, begin, end, C);
  });
}

}  // namespace isda::kernels
