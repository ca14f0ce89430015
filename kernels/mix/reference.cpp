// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/grid.h"
#include "kernels/mix/mix.h"

namespace isda::kernels {

void run(Reference, const Context&, const Mix& op) {
  check_place(op);
  const auto [N, H, W, C] = op.x.extents<4>();
  const double weight = op.weight.at(0), shift = op.place.at(0), top = op.place.at(1), left = op.place.at(2), bottom = op.place.at(3), right = op.place.at(4);
  for (const auto [n, h, w, c] : grid(N, H, W, C)) {
    const auto row = static_cast<double>(h), column = static_cast<double>(w);
    const double own = op.x.at(n, h, w, c), other = op.x.at((n + static_cast<std::int64_t>(shift)) % N, h, w, c);
    const bool is_in_box = row >= top && row < bottom && column >= left && column < right;
    op.y.set(is_in_box ? other : weight * own + (1 - weight) * other, n, h, w, c);
  }
}

}  // namespace isda::kernels
