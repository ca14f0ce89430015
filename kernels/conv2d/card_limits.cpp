// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv2d/card_limits.h"

#include "kernels/common/check.h"

namespace isda::kernels::conv2d {

namespace {

// Of a grid: blocks along y and z.
constexpr std::int64_t kMostGroups = 65535, kMostStride = 255;

// What all three have in common, under the names of each.
struct Arguments {
  const char* operation;
  const char* input_name;   // "x" or "dx"
  ConstView input;          // (N,H,W,C)
  const char* weight_name;  // "weight" or "dweight"
  ConstView weight;         // (K,R,S,C/groups)
  const char* output_name;  // "y" or "dy"
  ConstView output;         // (N,P,Q,K)
  int padding, groups;
};

void check_arguments(const Arguments& a) {
  const auto [N, H, W, C] = a.input.extents<4>();
  const auto [K, R, S, channels] = a.weight.extents<4>();
  const std::int64_t P = a.output.extent(1), Q = a.output.extent(2), padding = 2 * std::int64_t{a.padding};
  check_on_card(a.operation, "N*H*W", a.input_name, a.input, N * H * W);
  check_on_card(a.operation, "N*P*Q", a.output_name, a.output, N * P * Q);
  check_on_card(a.operation, "H, with padding on both sides,", a.input_name, a.input, H + padding);
  check_on_card(a.operation, "W, with padding on both sides,", a.input_name, a.input, W + padding);
  check_on_card(a.operation, "C", a.input_name, a.input, C);
  check_on_card(a.operation, "K", a.output_name, a.output, K);
  check_on_card(a.operation, "R*S*C/groups", a.weight_name, a.weight, R * S * channels);
  check_on_card(a.operation, "R*S*K/groups", a.weight_name, a.weight, R * S * (K / a.groups));
  check_on_card(a.operation, "the number of groups", a.weight_name, a.weight, a.groups, kMostGroups);
}

}  // namespace

void check_card_limits(const Conv2d& op) { check_arguments({op.name, "x", op.x, "weight", op.weight, "y", op.y, op.padding, op.groups}); }

void check_card_limits(const Conv2dBackwardData& op) {
  check_arguments({op.name, "dx", op.dx, "weight", op.weight, "dy", op.dy, op.padding, op.groups});
  check_on_card(op.name, "the stride", "dx", op.dx, op.stride, kMostStride);
  const auto [N, H, W, C] = op.dx.extents<4>();
  const auto whole = [&](std::int64_t extent) { return (extent + op.stride - 1) / op.stride * op.stride; };
  check_on_card(op.name, "N*H*W, with H and W rounded up to multiples of the stride,", "dx", op.dx, N * whole(H) * whole(W));
}

void check_card_limits(const Conv2dBackwardWeights& op) { check_arguments({op.name, "x", op.x, "dweight", op.dweight, "dy", op.dy, op.padding, op.groups}); }

}  // namespace isda::kernels::conv2d
