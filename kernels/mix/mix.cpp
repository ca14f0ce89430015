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

void check_place(const Mix& op) {
  const auto [N, H, W, C] = op.x.extents<4>();
  const std::int32_t* place = op.place.as<std::int32_t>();
  require(place[0] >= 0 && place[0] < N, "[{}] the shift is {}, expected 0 to {}: x is {}", op.name, place[0], N - 1, op.x.shape());
  const bool is_box = 0 <= place[1] && place[1] <= place[3] && place[3] <= H && 0 <= place[2] && place[2] <= place[4] && place[4] <= W;
  require(is_box, "[{}] the box is rows {} to {} and columns {} to {}, expected them in order and of x {}", op.name, place[1], place[3], place[2], place[4],
          op.x.shape());
}

}  // namespace isda::kernels
