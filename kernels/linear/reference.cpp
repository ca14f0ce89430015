// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/grid.h"
#include "kernels/linear/linear.h"

namespace isda::kernels {

void run(Reference, const Context&, const Linear& op) {
  const auto [N, A] = op.x.extents<2>();
  for (const auto [n, c] : grid(N, op.weight.extent(0))) {
    double sum = op.bias ? op.bias.at(c) : 0;
    for (std::int64_t a = 0; a < A; ++a) sum += op.x.at(n, a) * op.weight.at(c, a);
    op.y.set(sum, n, c);
  }
}

void run(Reference, const Context&, const LinearBackward& op) {
  const auto [N, C] = op.dy.extents<2>();
  const std::int64_t A = op.x.extent(1);
  if (op.dx) {
    for (const auto [n, a] : grid(N, A)) {
      double sum = 0;
      for (std::int64_t c = 0; c < C; ++c) sum += op.dy.at(n, c) * op.weight.at(c, a);
      op.dx.set(sum, n, a);
    }
  }
  if (op.dweight) {
    for (const auto [c, a] : grid(C, A)) {
      double sum = 0;
      for (std::int64_t n = 0; n < N; ++n) sum += op.dy.at(n, c) * op.x.at(n, a);
      op.dweight.set(sum, c, a);
    }
  }
  if (op.dbias) {
    for (std::int64_t c = 0; c < C; ++c) {
      double sum = 0;
      for (std::int64_t n = 0; n < N; ++n) sum += op.dy.at(n, c);
      op.dbias.set(sum, c);
    }
  }
}

}  // namespace isda::kernels
