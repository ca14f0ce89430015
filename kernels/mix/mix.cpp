// SPDX-License-Identifier: Apache-2.0
#include "kernels/mix/mix.h"

#include "kernels/common/check.h"

namespace isda::kernels {

void check(const Mix& op) {
  check_rank(op.name, "x", op.x, 4, "(N,H,W,C)");
  check_float(op.name, "x", op.x);
  check_shape(op.name, "weight", op.weight, {1}, "one for the batch");
  check_type(op.name, "weight", op.weight, parameter_type(op.x.type()));
  check_shape(op.name, "place", op.place, {5}, "shift, top, left, bottom, right");
  check_type(op.name, "place", op.place, DType::i32);
  check_shape(op.name, "y", op.y, op.x.shape(), "the shape of x");
  check_type(op.name, "y", op.y, op.x.type());
  require(op.y.data() != op.x.data(), "[{}] y is x, expected another array: an image is read by two", op.name);
}

Cost cost(const Mix& op) { return {.flop = 3.0 * static_cast<double>(op.x.size()), .bytes = static_cast<double>(2 * op.x.bytes() + op.y.bytes())}; }

}  // namespace isda::kernels
