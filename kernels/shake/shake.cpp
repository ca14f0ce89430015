// SPDX-License-Identifier: Apache-2.0
// Shaken branches: checks and costs.
#include "kernels/shake/shake.h"

#include "kernels/common/check.h"

namespace isda::kernels {

namespace {

void check_like(const char* name, const char* argument, const ConstView& view, const char* first_name, const ConstView& first) {
  check_shape(name, argument, view, first.shape(), fmt::format("the shape of {}", first_name));
  check_type(name, argument, view, first.type());
}

// `view` is of as many images and pixels as `wide`, and of as many channels or fewer.
void check_narrow(const char* name, const char* argument, const ConstView& view, const char* wide_name, const ConstView& wide) {
  check_rank(name, argument, view, 4, "(N,H,W,C0)");
  check_type(name, argument, view, wide.type());
  bool fits = view.extent(3) <= wide.extent(3);
  for (int axis = 0; axis < 3; ++axis) fits = fits && view.extent(axis) == wide.extent(axis);
  require(fits, "[{}] {} is {}, expected the images and pixels of {} {}, and as many channels or fewer", name, argument, view.shape(), wide_name, wide.shape());
}

void check_rule(const char* name, const ShakeRule& rule, bool has_two, const ConstView& step) {
  require(rule.survival >= 0 && rule.survival <= 1, "[{}] survival is {}, expected from 0 to 1", name, rule.survival);
  if (!is_drawn(rule, has_two)) return;
  check_shape(name, "step", step, {1}, "the training step");
  check_type(name, "step", step, DType::i32);
}

}  // namespace

void check(const Shake& op) {
  check_rank(op.name, "a", op.a, 4, "(N,H,W,C)");
  check_float(op.name, "a", op.a);
  if (op.b) check_like(op.name, "b", op.b, "a", op.a);
  check_like(op.name, "y", op.y, "a", op.a);
  check_narrow(op.name, "shortcut", op.shortcut, "a", op.a);
  check_rule(op.name, op.rule, static_cast<bool>(op.b), op.step);
}

void check(const ShakeBackward& op) {
  check_rank(op.name, "dy", op.dy, 4, "(N,H,W,C)");
  check_float(op.name, "dy", op.dy);
  check_like(op.name, "da", op.da, "dy", op.dy);
  if (op.db) check_like(op.name, "db", op.db, "dy", op.dy);
  if (op.dshortcut) check_narrow(op.name, "dshortcut", op.dshortcut, "dy", op.dy);
  check_rule(op.name, op.rule, static_cast<bool>(op.db), op.step);
}

Cost cost(const Shake& op) {
  return {.flop = (op.b ? 5.0 : 3.0) * static_cast<double>(op.a.size()),
          .bytes = static_cast<double>(op.shortcut.bytes() + op.a.bytes() + op.b.bytes() + op.y.bytes())};
}

Cost cost(const ShakeBackward& op) {
  return {.flop = (op.db ? 2.0 : 1.0) * static_cast<double>(op.dy.size()),
          .bytes = static_cast<double>(op.dy.bytes() + op.da.bytes() + op.db.bytes() + op.dshortcut.bytes())};
}

}  // namespace isda::kernels
