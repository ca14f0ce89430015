// SPDX-License-Identifier: Apache-2.0
// Two flows: the definition.
#include "kernels/common/grid.h"
#include "kernels/two_flows/two_flows.h"

namespace isda::kernels {

void run(Reference, const Context&, const TwoFlows& op) {
  const auto [N, P, Q, C2] = op.y.extents<4>();
  const std::int64_t C = C2 / 2;
  for (const auto [n, p, q, flow, c] : grid(N, P, Q, 2, C)) {
    const std::int64_t h = p * op.stride - flow, w = q * op.stride - flow;
    op.y.set(h >= 0 && w >= 0 ? op.x.at(n, h, w, c) : 0, n, p, q, flow * C + c);
  }
}

void run(Reference, const Context&, const TwoFlowsBackward& op) {
  const auto [N, H, W, C] = op.dx.extents<4>();
  for (const auto [n, h, w, c] : grid(N, H, W, C)) {
    double sum = 0;
    for (const int flow : {0, 1}) {
      const auto [row, column] = taken_by(flow, h, w, op.stride, op.dy.extent(1), op.dy.extent(2));
      if (row >= 0) sum += op.dy.at(n, row, column, flow * C + c);
    }
    op.dx.set(sum, n, h, w, c);
  }
}

}  // namespace isda::kernels
