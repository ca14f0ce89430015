// SPDX-License-Identifier: Apache-2.0
// Center loss on the cpu device: one sample after the other, in order: a batch costs less than waking a thread.
#include <algorithm>

#include "kernels/center_loss/center_loss.h"
#include "kernels/common/check.h"

namespace isda::kernels {

void run(Cpu, const Context& context, const CenterLoss& op) {
  check_cpu(op.name, op.features);
  // NOTE: clang lends no structured bindings to OpenMP.
  const std::int64_t N = op.features.extent(0), A = op.features.extent(1);
  const std::int64_t C = op.centers.extent(0);
  check_labels(op.name, op.labels, C);
  Scratch scratch = context.scratch();
  float *differences = scratch.take<float>(C * A), *count = scratch.take<float>(C);
  std::fill_n(differences, C * A, 0.0f);
  std::fill_n(count, C, 0.0f);
  const float factor = static_cast<float>(op.weight / static_cast<double>(N));
  double squares = 0;
  for (std::int64_t n = 0; n < N; ++n) {
    const std::int64_t y = op.labels.as<std::int32_t>()[n];
    const float *x = op.features.as<float>() + n * A, *center = op.centers.as<float>() + y * A;
    float *dx = op.dfeatures.as<float>() + n * A, *sum = differences + y * A, of_sample = 0;
#pragma omp simd reduction(+ : of_sample)
    for (std::int64_t a = 0; a < A; ++a) {
      const float difference = x[a] - center[a];
      of_sample += difference * difference;
      sum[a] += difference;
      dx[a] = factor * difference;
    }
    squares += static_cast<double>(of_sample);
    count[y] += 1;
  }
  *op.loss.as<float>() = static_cast<float>(op.weight / 2 * squares / static_cast<double>(N));
  // The classes that are present move.
  for (std::int64_t c = 0; c < C; ++c) {
    if (count[c] == 0) continue;
    const float step = static_cast<float>(op.rate) / (1 + count[c]);
    float* center = op.centers.as<float>() + c * A;
#pragma omp simd
    for (std::int64_t a = 0; a < A; ++a) center[a] += step * differences[c * A + a];
  }
}

}  // namespace isda::kernels
