// SPDX-License-Identifier: Apache-2.0
// Focal loss on the cpu device: one sample after the other; a batch of logits is a few thousand numbers.
#include "kernels/common/check.h"
#include "kernels/focal_loss/focal_loss.h"

namespace isda::kernels {

void run(Cpu, const Context&, const FocalLoss& op) {
  check_cpu(op.name, op.dlogits);
  const auto [N, C] = op.dlogits.extents<2>();
  const auto gamma = static_cast<float>(op.gamma);
  float* row = op.dlogits.as<float>();
  double total = 0;
  for (std::int64_t n = 0; n < N; ++n, row += C) {
    const float cross_entropy = op.losses.as<float>()[n];
    const auto [weight, gradient] = focus_of(cross_entropy, gamma);
    total += static_cast<double>(weight * cross_entropy);
#pragma omp simd
    for (std::int64_t c = 0; c < C; ++c) row[c] *= gradient;
  }
  *op.loss.as<float>() = static_cast<float>(total / static_cast<double>(N));
}

}  // namespace isda::kernels
