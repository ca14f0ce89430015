// SPDX-License-Identifier: Apache-2.0
// Large-margin softmax on the cpu device: one sample after the other, in order: a batch costs less than waking a thread.
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/large_margin/large_margin.h"

namespace isda::kernels {

void run(Cpu, const Context&, const LargeMargin& op) {
  check_cpu(op.name, op.features);
  const auto [N, C] = op.logits.extents<2>();
  check_labels(op.name, op.labels, C);
  const std::int64_t A = op.features.extent(1);
  const float lambda = *op.lambda.as<float>();
  for (std::int64_t n = 0; n < N; ++n) {
    const std::int64_t y = op.labels.as<std::int32_t>()[n];
    const float *x = op.features.as<float>() + n * A, *w = op.weight.as<float>() + y * A;
    float dot = 0, squares_w = 0, squares_x = 0;
#pragma omp simd reduction(+ : dot, squares_w, squares_x)
    for (std::int64_t a = 0; a < A; ++a) {
      dot += w[a] * x[a];
      squares_w += w[a] * w[a];
      squares_x += x[a] * x[a];
    }
    const auto [lowered_by, p, q_x, q_w] = margin_of(op.margin, lambda, dot, std::sqrt(squares_w), std::sqrt(squares_x));
    float* logits = op.margin_logits.as<float>() + n * C;
    std::copy_n(op.logits.as<float>() + n * C, C, logits);
    logits[y] -= lowered_by;
    const float coefficients[] = {p, q_x, q_w};
    std::copy_n(coefficients, 3, op.coefficients.as<float>() + n * 3);
  }
}

void run(Cpu, const Context&, const LargeMarginBackward& op) {
  check_cpu(op.name, op.features);
  // NOTE: clang lends no structured bindings to OpenMP.
  const std::int64_t C = op.weight.extent(0), A = op.weight.extent(1);
  check_labels(op.name, op.labels, C);
  std::fill_n(op.dweight.as<float>(), C * A, 0.0f);
  for (std::int64_t n = 0; n < op.labels.size(); ++n) {
    const std::int64_t y = op.labels.as<std::int32_t>()[n];
    const float *x = op.features.as<float>() + n * A, *w = op.weight.as<float>() + y * A, *coefficients = op.coefficients.as<float>() + n * 3;
    float *dx = op.dfeatures.as<float>() + n * A, *dw = op.dweight.as<float>() + y * A;
    const float g = op.dlogits.as<float>()[n * C + y], p = g * coefficients[0], q_x = g * coefficients[1], q_w = g * coefficients[2];
#pragma omp simd
    for (std::int64_t a = 0; a < A; ++a) {
      dx[a] = p * w[a] + q_x * x[a];
      dw[a] += p * x[a] + q_w * w[a];
    }
  }
}

}  // namespace isda::kernels
