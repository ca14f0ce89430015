// SPDX-License-Identifier: Apache-2.0
#include "kernels/pooling/pooling.h"

#include "kernels/common/check.h"

namespace isda::kernels {

namespace {

void check_pair(const char* name, const char* wide_name, const ConstView& wide, const char* pooled_name, const ConstView& pooled) {
  check_rank(name, wide_name, wide, 4, "(N,H,W,C)");
  check_float(name, wide_name, wide);
  const auto [N, H, W, C] = wide.extents<4>();
  check_shape(name, pooled_name, pooled, {N, C}, fmt::format("(N,C) of {} {}", wide_name, wide.shape()));
  check_type(name, pooled_name, pooled, wide.type());
}

}  // namespace

void check(const GlobalAverage& op) { check_pair(op.name, "x", op.x, "y", op.y); }
void check(const GlobalAverageBackward& op) { check_pair(op.name, "dx", op.dx, "dy", op.dy); }

Cost cost(const GlobalAverage& op) { return {.flop = static_cast<double>(op.x.size()), .bytes = static_cast<double>(op.x.bytes() + op.y.bytes())}; }
Cost cost(const GlobalAverageBackward& op) {
  return {.flop = static_cast<double>(op.dy.size()), .bytes = static_cast<double>(op.dx.bytes() + op.dy.bytes())};
}

}  // namespace isda::kernels
