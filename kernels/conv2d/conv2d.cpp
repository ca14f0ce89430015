// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv2d/conv2d.h"

#include <limits>

#include "kernels/common/check.h"

namespace isda::kernels {

namespace {

// The shapes that all three operations share, under each operation's own names for them.
struct Arguments {
  const char* operation;
  const char* input_name;   // "x" or "dx"
  ConstView input;          // (N,H,W,C)
  const char* weight_name;  // "weight" or "dweight"
  ConstView weight;         // (K,R,S,C/groups)
  const char* output_name;  // "y" or "dy"
  ConstView output;         // (N,P,Q,K)
  int stride, padding, groups;
  DType weight_type;
};

// The output rows (or columns) of `extent` input rows under a kernel of `taps`; 0 where the kernel does not fit.
std::int64_t output_extent(std::int64_t extent, std::int64_t taps, int stride, int padding) {
  const std::int64_t room = extent + 2 * static_cast<std::int64_t>(padding) - taps;
  return room < 0 ? 0 : room / stride + 1;
}

void check_arguments(const Arguments& a) {
  require(a.stride >= 1, "[{}] stride is {}, expected 1 or more", a.operation, a.stride);
  require(a.padding >= 0, "[{}] padding is {}, expected 0 or more", a.operation, a.padding);
  require(a.groups >= 1, "[{}] groups is {}, expected 1 or more", a.operation, a.groups);
  check_rank(a.operation, a.input_name, a.input, 4, "(N,H,W,C)");
  check_float(a.operation, a.input_name, a.input);
  check_rank(a.operation, a.weight_name, a.weight, 4, "(K,R,S,C/groups)");
  check_type(a.operation, a.weight_name, a.weight, a.weight_type);

  const auto [N, H, W, C] = a.input.extents<4>();
  const auto [K, R, S, channels] = a.weight.extents<4>();
  require(C % a.groups == 0 && K % a.groups == 0, "[{}] {} groups divide neither or only one of C = {} of {} and K = {} of {}", a.operation, a.groups, C,
          a.input_name, K, a.weight_name);
  require(channels == C / a.groups, "[{}] {} is {}, expected ({},{},{},{}): (K,R,S,C/groups) with {} {} and {} groups", a.operation, a.weight_name,
          a.weight.shape(), K, R, S, C / a.groups, a.input_name, a.input.shape(), a.groups);
  const std::int64_t P = output_extent(H, R, a.stride, a.padding);
  const std::int64_t Q = output_extent(W, S, a.stride, a.padding);
  require(P >= 1 && Q >= 1, "[{}] a kernel of {}x{} does not fit into {} {} with padding {}", a.operation, R, S, a.input_name, a.input.shape(), a.padding);
  check_shape(
      a.operation, a.output_name, a.output, {N, P, Q, K},
      fmt::format("(N,P,Q,K) of {} {}, {} {}, stride {}, padding {}", a.input_name, a.input.shape(), a.weight_name, a.weight.shape(), a.stride, a.padding));
  check_type(a.operation, a.output_name, a.output, a.input.type());
}

// An optional array beside `beside`: if it is given, it has this shape and type.
void check_optional(const char* operation, const char* argument, const ConstView& view, const Shape& expected, DType type, const char* meaning) {
  if (!view) return;
  check_shape(operation, argument, view, expected, meaning);
  check_type(operation, argument, view, type);
}

void check_together(const char* operation, const char* what, bool first, bool second) {
  require(first == second, "[{}] {} come together or not at all, got only one part", operation, what);
}

void check_prologue(const char* operation, const Conv2dPrologue& prologue, const ConstView& x) {
  const DType type = parameter_type(x.type());
  check_together(operation, "prologue.scale and prologue.shift", static_cast<bool>(prologue.scale), static_cast<bool>(prologue.shift));
  check_optional(operation, "prologue.scale", prologue.scale, {x.extent(3)}, type, "(C)");
  check_optional(operation, "prologue.shift", prologue.shift, {x.extent(3)}, type, "(C)");
}

void check_gradient_prologue(const char* operation, const char* word, const Conv2dGradientPrologue& prologue, const ConstView& dy) {
  const DType type = parameter_type(dy.type());
  const std::string what = std::string(word) + ".y, .scale, .y_scale and .shift";
  for (const auto& part : {prologue.scale, prologue.y_scale, prologue.shift}) {
    check_together(operation, what.c_str(), static_cast<bool>(prologue.y), static_cast<bool>(part));
  }
  check_optional(operation, (std::string(word) + ".y").c_str(), prologue.y, dy.shape(), dy.type(), "the shape of dy");
  check_optional(operation, (std::string(word) + ".scale").c_str(), prologue.scale, {dy.extent(3)}, type, "(K)");
  check_optional(operation, (std::string(word) + ".y_scale").c_str(), prologue.y_scale, {dy.extent(3)}, type, "(K)");
  check_optional(operation, (std::string(word) + ".shift").c_str(), prologue.shift, {dy.extent(3)}, type, "(K)");
}

double flop(const ConstView& output, const ConstView& weight) {
  return 2.0 * static_cast<double>(output.size()) * static_cast<double>(weight.extent(1) * weight.extent(2) * weight.extent(3));
}

}  // namespace

void check(const Conv2d& op) {
  check_arguments({op.name, "x", op.x, "weight", op.weight, "y", op.y, op.stride, op.padding, op.groups, op.x.type()});
  check_prologue(op.name, op.prologue, op.x);
  const DType type = parameter_type(op.x.type());
  const auto& [residual, statistics] = op.epilogue;
  check_optional(op.name, "epilogue.residual", residual, op.y.shape(), op.y.type(), "the shape of y");
  check_together(op.name, "epilogue.statistics.mean and .variance", static_cast<bool>(statistics.mean), static_cast<bool>(statistics.variance));
  check_optional(op.name, "epilogue.statistics.mean", statistics.mean, {op.y.extent(3)}, type, "(K)");
  check_optional(op.name, "epilogue.statistics.variance", statistics.variance, {op.y.extent(3)}, type, "(K)");
}

void check(const Conv2dBackwardData& op) {
  check_arguments({op.name, "dx", op.dx, "weight", op.weight, "dy", op.dy, op.stride, op.padding, op.groups, op.dx.type()});
  check_gradient_prologue(op.name, "prologue", op.prologue, op.dy);
  const DType type = parameter_type(op.dx.type());
  const auto& [residual, mask, sums] = op.epilogue;
  const Shape channels = {op.dx.extent(3)};
  check_optional(op.name, "epilogue.residual", residual, op.dx.shape(), op.dx.type(), "the shape of dx");
  check_optional(op.name, "epilogue.mask.x", mask.x, op.dx.shape(), op.dx.type(), "the shape of dx");
  check_together(op.name, "epilogue.mask.scale and .shift", static_cast<bool>(mask.scale), static_cast<bool>(mask.shift));
  require(mask.x || !mask.scale, "[{}] epilogue.mask.scale was given without epilogue.mask.x", op.name);
  check_optional(op.name, "epilogue.mask.scale", mask.scale, channels, type, "(C)");
  check_optional(op.name, "epilogue.mask.shift", mask.shift, channels, type, "(C)");
  for (const ConstView& part : {sums.mean, ConstView(sums.sum), ConstView(sums.sum_centred)}) {
    check_together(op.name, "epilogue.sums.x, .mean, .sum and .sum_centred", static_cast<bool>(sums.x), static_cast<bool>(part));
  }
  check_optional(op.name, "epilogue.sums.x", sums.x, op.dx.shape(), op.dx.type(), "the shape of dx");
  check_optional(op.name, "epilogue.sums.mean", sums.mean, channels, type, "(C)");
  check_optional(op.name, "epilogue.sums.sum", sums.sum, channels, type, "(C)");
  check_optional(op.name, "epilogue.sums.sum_centred", sums.sum_centred, channels, type, "(C)");
}

void check(const Conv2dBackwardWeights& op) {
  check_arguments({op.name, "x", op.x, "dweight", op.dweight, "dy", op.dy, op.stride, op.padding, op.groups, parameter_type(op.x.type())});
  check_prologue(op.name, op.prologue, op.x);
  check_gradient_prologue(op.name, "gradient_prologue", op.gradient_prologue, op.dy);
}

Cost cost(const Conv2d& op) {
  return {.flop = flop(op.y, op.weight), .bytes = static_cast<double>(op.x.bytes() + op.weight.bytes() + op.y.bytes() + op.epilogue.residual.bytes())};
}

Cost cost(const Conv2dBackwardData& op) {
  const auto& [residual, mask, sums] = op.epilogue;
  const bool is_shared = sums.x.data() == mask.x.data();
  return {.flop = flop(op.dy, op.weight),
          .bytes = static_cast<double>(op.dy.bytes() + op.prologue.y.bytes() + op.weight.bytes() + op.dx.bytes() + residual.bytes() + mask.x.bytes() +
                                       (is_shared ? 0 : sums.x.bytes()))};
}

Cost cost(const Conv2dBackwardWeights& op) {
  return {.flop = flop(op.dy, op.dweight), .bytes = static_cast<double>(op.x.bytes() + op.dy.bytes() + op.gradient_prologue.y.bytes() + op.dweight.bytes())};
}

}  // namespace isda::kernels
