// SPDX-License-Identifier: Apache-2.0
// Large-margin softmax: the definition.
#include "kernels/common/check.h"
#include "kernels/common/grid.h"
#include "kernels/large_margin/large_margin.h"

namespace isda::kernels {

void run(Reference, const Context&, const LargeMargin& op) {
  const auto [N, C] = op.logits.extents<2>();
  check_labels(op.name, op.labels, C);
  for (std::int64_t n = 0; n < N; ++n) {
    const auto y = static_cast<std::int64_t>(op.labels.at(n));
    double dot = 0, squares_w = 0, squares_x = 0;
    for (std::int64_t a = 0; a < op.features.extent(1); ++a) {
      const double x = op.features.at(n, a), w = op.weight.at(y, a);
      dot += w * x;
      squares_w += w * w;
      squares_x += x * x;
    }
    const auto [lowered_by, p, q_x, q_w] = margin_of(op.margin, op.lambda.at(0), dot, std::sqrt(squares_w), std::sqrt(squares_x));
    for (std::int64_t c = 0; c < C; ++c) op.margin_logits.set(op.logits.at(n, c) - (c == y ? lowered_by : 0), n, c);
    op.coefficients.set(p, n, 0);
    op.coefficients.set(q_x, n, 1);
    op.coefficients.set(q_w, n, 2);
  }
}

void run(Reference, const Context&, const LargeMarginBackward& op) {
  const auto [C, A] = op.weight.extents<2>();
  check_labels(op.name, op.labels, C);
  for (const auto [c, a] : grid(C, A)) op.dweight.set(0, c, a);
  for (std::int64_t n = 0; n < op.labels.size(); ++n) {
    const auto y = static_cast<std::int64_t>(op.labels.at(n));
    const double g = op.dlogits.at(n, y), p = op.coefficients.at(n, 0), q_x = op.coefficients.at(n, 1), q_w = op.coefficients.at(n, 2);
    for (std::int64_t a = 0; a < A; ++a) {
      const double x = op.features.at(n, a), w = op.weight.at(y, a);
      op.dfeatures.set(g * (p * w + q_x * x), n, a);
      op.dweight.set(op.dweight.at(y, a) + g * (p * x + q_w * w), y, a);
    }
  }
}

}  // namespace isda::kernels
