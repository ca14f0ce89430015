// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/grid.h"
#include "kernels/concat/concat.h"

namespace isda::kernels {

void run(Reference, const Context&, const Concat& op) {
  const std::int64_t A = op.a.extent(-1), B = op.b.extent(-1), C = A + B;
  for (const auto [row, c] : grid(op.y.size() / C, C)) op.y.set_offset(c < A ? op.a.at_offset(row * A + c) : op.b.at_offset(row * B + c - A), row * C + c);
}

void run(Reference, const Context&, const ConcatBackward& op) {
  const std::int64_t A = op.da.extent(-1), B = op.db.extent(-1), C = A + B;
  for (const auto [row, c] : grid(op.dy.size() / C, C)) {
    const double dy = op.dy.at_offset(row * C + c);
    if (c < A)
      op.da.set_offset(dy, row * A + c);
    else
      op.db.set_offset(dy, row * B + c - A);
  }
}

}  // namespace isda::kernels
