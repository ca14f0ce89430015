// SPDX-License-Identifier: Apache-2.0
// Batch normalisation: the definition.
#include <cmath>

#include "kernels/batch_norm/batch_norm.h"
#include "kernels/common/grid.h"

namespace isda::kernels {

namespace {

std::int64_t channels_of(const ConstView& x) { return x.extent(-1); }
std::int64_t rows_of(const ConstView& x) { return x.size() / x.extent(-1); }

double inverse_deviation(double variance, double epsilon) { return 1 / std::sqrt(variance + epsilon); }

// dy where the ReLU let pass, else 0; without a ReLU, dy.
double dz_at(const ConstView& dy, const ConstView& y, std::int64_t i) { return !y || y.at_offset(i) > 0 ? dy.at_offset(i) : 0; }

void follow(const RunningStatistics& running, const ConstView& mean, const ConstView& variance, std::int64_t count) {
  if (!running.mean) return;
  const double M = static_cast<double>(count), momentum = running.momentum;
  for (std::int64_t c = 0; c < mean.size(); ++c) {
    running.mean.set((1 - momentum) * running.mean.at(c) + momentum * mean.at(c), c);
    if (count == 1) continue;
    const double unbiased = variance.at(c) * M / (M - 1);
    running.variance.set((1 - momentum) * running.variance.at(c) + momentum * unbiased, c);
  }
}

}  // namespace

void run(Reference, const Context&, const BatchNormStatistics& op) {
  const std::int64_t M = rows_of(op.x), C = channels_of(op.x);
  for (std::int64_t c = 0; c < C; ++c) {
    double sum = 0, squares = 0;
    for (std::int64_t m = 0; m < M; ++m) sum += op.x.at_offset(m * C + c);
    const double mean = sum / static_cast<double>(M);
    for (std::int64_t m = 0; m < M; ++m) squares += std::pow(op.x.at_offset(m * C + c) - mean, 2);
    op.mean.set(mean, c);
    op.variance.set(squares / static_cast<double>(M), c);
  }
}

void run(Reference, const Context&, const BatchNormAffine& op) {
  for (std::int64_t c = 0; c < op.mean.size(); ++c) {
    const double scale = op.weight.at(c) * inverse_deviation(op.variance.at(c), op.epsilon);
    op.scale.set(scale, c);
    op.shift.set(op.bias.at(c) - op.mean.at(c) * scale, c);
  }
  follow(op.running, op.mean, op.variance, op.count);
}

void run(Reference, const Context&, const BatchNorm& op) {
  const std::int64_t M = rows_of(op.x), C = channels_of(op.x);
  for (const auto [m, c] : grid(M, C)) {
    const std::int64_t i = m * C + c;
    double y = op.weight.at(c) * (op.x.at_offset(i) - op.mean.at(c)) * inverse_deviation(op.variance.at(c), op.epsilon) + op.bias.at(c);
    if (op.residual) y += op.residual.at_offset(i);
    if (op.relu && y < 0) y = 0;
    op.y.set_offset(y, i);
  }
  follow(op.running, op.mean, op.variance, M);
}

void run(Reference, const Context&, const BatchNormBackwardReduce& op) {
  const std::int64_t M = rows_of(op.x), C = channels_of(op.x);
  for (std::int64_t c = 0; c < C; ++c) {
    double sum_dz = 0, sum_dz_x = 0;
    for (std::int64_t m = 0; m < M; ++m) {
      const double dz = dz_at(op.dy, op.y, m * C + c);
      sum_dz += dz;
      sum_dz_x += dz * (op.x.at_offset(m * C + c) - op.mean.at(c));
    }
    op.sum_dz.set(sum_dz, c);
    op.sum_dz_x.set(sum_dz_x, c);
  }
}

void run(Reference, const Context&, const BatchNormBackward& op) {
  const std::int64_t M = rows_of(op.x), C = channels_of(op.x);
  const double rows = static_cast<double>(M);
  for (const auto [m, c] : grid(M, C)) {
    const std::int64_t i = m * C + c;
    const double dz = dz_at(op.dy, op.y, i);
    const double invstd = inverse_deviation(op.variance.at(c), op.epsilon);
    const double through_mean = op.sum_dz.at(c) / rows;
    const double through_variance = (op.x.at_offset(i) - op.mean.at(c)) * invstd * invstd * op.sum_dz_x.at(c) / rows;
    const double addend = op.addend ? op.addend.at_offset(i) : 0;
    op.dx.set_offset(op.weight.at(c) * invstd * (dz - through_mean - through_variance) + addend, i);
    if (op.dresidual) op.dresidual.set_offset(dz, i);
  }
  for (std::int64_t c = 0; c < C; ++c) {
    if (op.dweight) op.dweight.set(op.sum_dz_x.at(c) * inverse_deviation(op.variance.at(c), op.epsilon), c);
    if (op.dbias) op.dbias.set(op.sum_dz.at(c), c);
  }
}

}  // namespace isda::kernels
