// SPDX-License-Identifier: Apache-2.0
#include "kernels/augment/augment.h"
#include "kernels/common/grid.h"

namespace isda::kernels {

void run(Reference, const Context&, const Augment& op) {
  check_indices(op);
  const auto [N, H, W, C] = op.y.extents<4>();
  const auto epoch = static_cast<std::int32_t>(op.epoch.at(0));
  for (const auto [n, h, w, c] : grid(N, H, W, C)) {
    const auto index = static_cast<std::int32_t>(op.indices.at(n));
    const Crop crop = draw_crop(op.seed, epoch, index, op.padding, op.flip);
    const std::int64_t row = reflect(h + crop.top - op.padding, H);
    const std::int64_t column = reflect((crop.is_flipped ? W - 1 - w : w) + crop.left - op.padding, W);
    op.y.set((op.images.at(index, row, column, c) - op.mean.at(c)) / op.deviation.at(c), n, h, w, c);
  }
}

}  // namespace isda::kernels
