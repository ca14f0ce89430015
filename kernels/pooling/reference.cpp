// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/grid.h"
#include "kernels/pooling/pooling.h"

namespace isda::kernels {

void run(Reference, const Context&, const GlobalAverage& op) {
  const auto [N, H, W, C] = op.x.extents<4>();
  for (const auto [n, c] : grid(N, C)) {
    double sum = 0;
    for (const auto [h, w] : grid(H, W)) sum += op.x.at(n, h, w, c);
    op.y.set(sum / static_cast<double>(H * W), n, c);
  }
}

void run(Reference, const Context&, const GlobalAverageBackward& op) {
  const auto [N, H, W, C] = op.dx.extents<4>();
  for (const auto [n, h, w, c] : grid(N, H, W, C)) op.dx.set(op.dy.at(n, c) / static_cast<double>(H * W), n, h, w, c);
}

}  // namespace isda::kernels
