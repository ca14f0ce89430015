// SPDX-License-Identifier: Apache-2.0
#include "kernels/elementwise/elementwise.h"

#include "kernels/common/check.h"

namespace isda::kernels {

namespace {

// `view` is given, of the type and shape of `first`.
void check_same(const char* operation, const char* name, const ConstView& view, const char* first_name, const ConstView& first) {
  check_shape(operation, name, view, first.shape(), fmt::format("the shape of {}", first_name));
  check_type(operation, name, view, first.type());
}

void check_first(const char* operation, const char* name, const ConstView& view) {
  check_given(operation, name, view);
  check_float(operation, name, view);
}

void check_scale(const char* operation, const ConstView& x, const char* name, const ConstView& scale) {
  check_rank(operation, "x", x, 4, "(N,H,W,C)");
  check_float(operation, "x", x);
  check_shape(operation, name, scale, {x.extent(0), x.extent(3)}, fmt::format("(N,C) of x {}", x.shape()));
  check_type(operation, name, scale, x.type());
}

double elements(const ConstView& view) { return static_cast<double>(view.size()); }

}  // namespace

void check(const Relu& op) {
  check_first(op.name, "x", op.x);
  check_same(op.name, "y", op.y, "x", op.x);
}
void check(const ReluBackward& op) {
  check_first(op.name, "dy", op.dy);
  check_same(op.name, "y", op.y, "dy", op.dy);
  check_same(op.name, "dx", op.dx, "dy", op.dy);
}
void check(const Add& op) {
  check_first(op.name, "a", op.a);
  check_same(op.name, "b", op.b, "a", op.a);
  check_same(op.name, "y", op.y, "a", op.a);
}
void check(const Scale& op) {
  check_first(op.name, "x", op.x);
  check_shape(op.name, "factor", op.factor, {1}, "one number");
  check_type(op.name, "factor", op.factor, parameter_type(op.x.type()));
  check_same(op.name, "y", op.y, "x", op.x);
}
void check(const Sigmoid& op) {
  check_first(op.name, "x", op.x);
  check_same(op.name, "y", op.y, "x", op.x);
}
void check(const SigmoidBackward& op) {
  check_first(op.name, "dy", op.dy);
  check_same(op.name, "y", op.y, "dy", op.dy);
  check_same(op.name, "dx", op.dx, "dy", op.dy);
}
void check(const ScaleChannels& op) {
  check_scale(op.name, op.x, "scale", op.scale);
  check_same(op.name, "y", op.y, "x", op.x);
}
void check(const ScaleChannelsBackward& op) {
  check_scale(op.name, op.x, "scale", op.scale);
  check_same(op.name, "dy", op.dy, "x", op.x);
  check_same(op.name, "dx", op.dx, "x", op.x);
  check_same(op.name, "dscale", op.dscale, "scale", op.scale);
}
void check(const Dropout& op) {
  check_first(op.name, "x", op.x);
  check_shape(op.name, "step", op.step, {1}, "one number");
  check_type(op.name, "step", op.step, DType::i32);
  require(op.probability >= 0 && op.probability < 1, "[dropout] probability is {}, expected from 0 to below 1", op.probability);
  check_same(op.name, "y", op.y, "x", op.x);
}

Cost cost(const Relu& op) { return {elements(op.x), static_cast<double>(op.x.bytes() + op.y.bytes())}; }
Cost cost(const ReluBackward& op) { return {elements(op.dy), static_cast<double>(op.dy.bytes() + op.y.bytes() + op.dx.bytes())}; }
Cost cost(const Add& op) { return {elements(op.a), static_cast<double>(op.a.bytes() + op.b.bytes() + op.y.bytes())}; }
Cost cost(const Scale& op) { return {elements(op.x), static_cast<double>(op.x.bytes() + op.y.bytes())}; }
Cost cost(const Sigmoid& op) { return {10 * elements(op.x), static_cast<double>(op.x.bytes() + op.y.bytes())}; }
Cost cost(const SigmoidBackward& op) { return {3 * elements(op.dy), static_cast<double>(op.dy.bytes() + op.y.bytes() + op.dx.bytes())}; }
Cost cost(const ScaleChannels& op) { return {elements(op.x), static_cast<double>(op.x.bytes() + op.scale.bytes() + op.y.bytes())}; }
Cost cost(const ScaleChannelsBackward& op) {
  return {3 * elements(op.x), static_cast<double>(op.dy.bytes() + op.x.bytes() + op.scale.bytes() + op.dx.bytes() + op.dscale.bytes())};
}
Cost cost(const Dropout& op) { return {elements(op.x), static_cast<double>(op.x.bytes() + op.y.bytes())}; }

}  // namespace isda::kernels
