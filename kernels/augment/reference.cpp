// SPDX-License-Identifier: Apache-2.0
#include "kernels/augment/augment.h"
#include "kernels/common/grid.h"

namespace isda::kernels {

void run(Reference, const Context&, const Augment& op) {
  CroppedImages::of(op).check_indices();
  const auto [N, H, W, C] = op.y.extents<4>();
  const auto epoch = static_cast<std::int32_t>(op.epoch.at(0));
  for (const auto [n, h, w, c] : grid(N, H, W, C)) {
    const auto index = static_cast<std::int32_t>(op.indices.at(n));
    const Crop crop = draw_crop(op.seed, epoch, index, op.padding, op.flip);
    const std::int64_t row = reflect(h + crop.top - op.padding, H);
    const std::int64_t column = reflect((crop.is_flipped ? W - 1 - w : w) + crop.left - op.padding, W);
    op.y.set((op.images.at(op.gathered_from > 0 ? n : index, row, column, c) - op.mean.at(c)) / op.deviation.at(c), n, h, w, c);
    for (int hole = 0; hole < op.holes; ++hole) {
      const Hole cut = draw_hole(op.seed, epoch, index, hole, op.hole_length, static_cast<int>(H), static_cast<int>(W));
      if (cut.has(static_cast<int>(h), static_cast<int>(w))) op.y.set(0, n, h, w, c);
    }
  }
}

}  // namespace isda::kernels
