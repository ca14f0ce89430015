// SPDX-License-Identifier: Apache-2.0
// Shaken branches: the definition.
#include "kernels/common/grid.h"
#include "kernels/shake/shake.h"

namespace isda::kernels {

namespace {

ShakeFactors factors_of(const ShakeRule& rule, bool has_two, ShakePass pass, const ConstView& step, std::int64_t image) {
  return shake_factors(rule, has_two, pass, drawn_step(rule, has_two, step), static_cast<std::uint64_t>(image));
}

}  // namespace

void run(Reference, const Context&, const Shake& op) {
  const auto [N, H, W, C] = op.a.extents<4>();
  for (const auto [n, h, w, c] : grid(N, H, W, C)) {
    const auto [p, q] = factors_of(op.rule, static_cast<bool>(op.b), ShakePass::forward, op.step, n);
    double sum = static_cast<double>(p) * op.a.at(n, h, w, c);
    if (op.b) sum += static_cast<double>(q) * op.b.at(n, h, w, c);
    if (c < op.shortcut.extent(3)) sum += op.shortcut.at(n, h, w, c);
    op.y.set(sum, n, h, w, c);
  }
}

void run(Reference, const Context&, const ShakeBackward& op) {
  const auto [N, H, W, C] = op.dy.extents<4>();
  for (const auto [n, h, w, c] : grid(N, H, W, C)) {
    const auto [p, q] = factors_of(op.rule, static_cast<bool>(op.db), ShakePass::backward, op.step, n);
    const double dy = op.dy.at(n, h, w, c);
    op.da.set(static_cast<double>(p) * dy, n, h, w, c);
    if (op.db) op.db.set(static_cast<double>(q) * dy, n, h, w, c);
    if (op.dshortcut && c < op.dshortcut.extent(3)) op.dshortcut.set(dy, n, h, w, c);
  }
}

}  // namespace isda::kernels
