// SPDX-License-Identifier: Apache-2.0
// Two flows: checks and costs.
#include "kernels/two_flows/two_flows.h"

#include "kernels/common/check.h"

namespace isda::kernels {

namespace {

// pair (N,P,Q,2C) is what comes of wide (N,H,W,C).
void check_flows(const char* name, const char* wide_name, const ConstView& wide, const char* pair_name, const ConstView& pair, std::int64_t stride) {
  check_rank(name, wide_name, wide, 4, "(N,H,W,C)");
  check_float(name, wide_name, wide);
  require(stride >= 1, "[{}] stride is {}, expected 1 or more", name, stride);
  const auto [N, H, W, C] = wide.extents<4>();
  check_shape(name, pair_name, pair, {N, (H + stride - 1) / stride, (W + stride - 1) / stride, 2 * C},
              fmt::format("(N,P,Q,2C) of {} {} with stride {}", wide_name, wide.shape(), stride));
  check_type(name, pair_name, pair, wide.type());
}

}  // namespace

void check(const TwoFlows& op) { check_flows(op.name, "x", op.x, "y", op.y, op.stride); }
void check(const TwoFlowsBackward& op) { check_flows(op.name, "dx", op.dx, "dy", op.dy, op.stride); }

Cost cost(const TwoFlows& op) { return {.flop = 0, .bytes = 2.0 * static_cast<double>(op.y.bytes())}; }
Cost cost(const TwoFlowsBackward& op) { return {.flop = static_cast<double>(op.dx.size()), .bytes = static_cast<double>(op.dy.bytes() + op.dx.bytes())}; }

}  // namespace isda::kernels
