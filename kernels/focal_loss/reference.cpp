// SPDX-License-Identifier: Apache-2.0
// Focal loss: the definition.
#include "kernels/focal_loss/focal_loss.h"

namespace isda::kernels {

void run(Reference, const Context&, const FocalLoss& op) {
  const auto [N, C] = op.dlogits.extents<2>();
  double total = 0;
  for (std::int64_t n = 0; n < N; ++n) {
    const auto [weight, gradient] = focus_of(op.losses.at(n), op.gamma);
    total += weight * op.losses.at(n);
    for (std::int64_t c = 0; c < C; ++c) op.dlogits.set(gradient * op.dlogits.at(n, c), n, c);
  }
  op.loss.set(total / static_cast<double>(N), 0);
}

}  // namespace isda::kernels
