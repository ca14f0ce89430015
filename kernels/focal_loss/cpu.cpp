// SPDX-License-Identifier: Apache-2.0
// Focal loss on the cpu device: one sample after the other; a batch of logits is a few thousand numbers.
#include "kernels/common/check.h"
#include "kernels/focal_loss/focal_loss.h"

namespace isda::kernels {

void run(Cpu, const Context&, const FocalLoss& op) {
  check_cpu(op.name, op.dlogits);
  // NOTE: clang lends no structured bindings to OpenMP.
  const std::int64_t N = op.dlogits.extent(0), C = op.dlogits.extent(1);
  const auto gamma = static_cast<float>(op.gamma);
  float* row = op.dlogits.as<float>();
  double total = 0;
  for (std::int64_t n = 0; n < N; ++n, row += C) {
    const float cross_entropy = op.losses.as<float>()[n];
    const auto focus = focus_of(cross_entropy, gamma);
    const float gradient = focus.gradient;
    total += static_cast<double>(focus.weight * cross_entropy);
#pragma omp simd
    for (std::int64_t c = 0; c < C; ++c) row[c] *= gradient;
  }
  *op.loss.as<float>() = static_cast<float>(total / static_cast<double>(N));
}

}  // namespace isda::kernels
