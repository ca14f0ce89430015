// SPDX-License-Identifier: Apache-2.0
// Operations on single elements: their checks and costs.
#include "kernels/elementwise/elementwise.h"

#include <initializer_list>

#include "kernels/common/check.h"

namespace isda::kernels {

namespace {

struct Argument {
  const char* name;
  const ConstView& view;
};

// The first argument is given and of a floating type, and the others are of its shape and type.
void check_alike(const char* name, std::initializer_list<Argument> arguments) {
  const Argument& first = *arguments.begin();
  check_given(name, first.name, first.view);
  check_float(name, first.name, first.view);
  for (const Argument& other : arguments) {
    require(static_cast<bool>(other.view), "[{}] {} was not given, expected {}: the shape of {}", name, other.name, first.view.shape(), first.name);
    require(other.view.shape() == first.view.shape(), "[{}] {} is {}, expected {}: the shape of {}", name, other.name, other.view.shape(), first.view.shape(),
            first.name);
    check_type(name, other.name, other.view, first.view.type());
  }
}

// `scale` is (N,C) of x (N,H,W,C).
void check_channel_scale(const char* name, const char* scale_name, const ConstView& scale, const ConstView& x) {
  check_rank(name, "x", x, 4, "(N,H,W,C)");
  check_shape(name, scale_name, scale, {x.extent(0), x.extent(3)}, "(N,C) of x");
  check_type(name, scale_name, scale, x.type());
}

Cost cost_of(double flop_per_element, std::initializer_list<ConstView> arguments) {
  Cost cost{.flop = flop_per_element * static_cast<double>(arguments.begin()->size())};
  for (const ConstView& view : arguments) cost.bytes += static_cast<double>(view.bytes());
  return cost;
}

}  // namespace

void check(const Relu& op) { check_alike(op.name, {{"x", op.x}, {"y", op.y}}); }
Cost cost(const Relu& op) { return cost_of(1, {op.x, op.y}); }

void check(const ReluBackward& op) { check_alike(op.name, {{"dy", op.dy}, {"y", op.y}, {"dx", op.dx}}); }
Cost cost(const ReluBackward& op) { return cost_of(1, {op.dy, op.y, op.dx}); }

void check(const Add& op) { check_alike(op.name, {{"a", op.a}, {"b", op.b}, {"y", op.y}}); }
Cost cost(const Add& op) { return cost_of(1, {op.a, op.b, op.y}); }

void check(const Scale& op) {
  check_alike(op.name, {{"x", op.x}, {"y", op.y}});
  check_shape(op.name, "factor", op.factor, {1}, "one factor for all elements");
  check_type(op.name, "factor", op.factor, parameter_type(op.x.type()));
}
Cost cost(const Scale& op) { return cost_of(1, {op.x, op.y}); }

void check(const Sigmoid& op) { check_alike(op.name, {{"x", op.x}, {"y", op.y}}); }
Cost cost(const Sigmoid& op) { return cost_of(10, {op.x, op.y}); }

void check(const SigmoidBackward& op) { check_alike(op.name, {{"dy", op.dy}, {"y", op.y}, {"dx", op.dx}}); }
Cost cost(const SigmoidBackward& op) { return cost_of(3, {op.dy, op.y, op.dx}); }

void check(const ScaleChannels& op) {
  check_alike(op.name, {{"x", op.x}, {"y", op.y}});
  check_channel_scale(op.name, "scale", op.scale, op.x);
}
Cost cost(const ScaleChannels& op) { return cost_of(1, {op.x, op.scale, op.y}); }

void check(const ScaleChannelsBackward& op) {
  check_alike(op.name, {{"x", op.x}, {"dy", op.dy}, {"dx", op.dx}});
  check_channel_scale(op.name, "scale", op.scale, op.x);
  check_channel_scale(op.name, "dscale", op.dscale, op.x);
}
Cost cost(const ScaleChannelsBackward& op) { return cost_of(3, {op.dy, op.x, op.scale, op.dx, op.dscale}); }

void check(const Dropout& op) {
  check_alike(op.name, {{"x", op.x}, {"y", op.y}});
  check_shape(op.name, "step", op.step, {1}, "the training step");
  check_type(op.name, "step", op.step, DType::i32);
  require(op.probability >= 0 && op.probability < 1, "[{}] probability is {}, expected from 0 to below 1", op.name, op.probability);
}
Cost cost(const Dropout& op) { return cost_of(1, {op.x, op.y}); }

}  // namespace isda::kernels
