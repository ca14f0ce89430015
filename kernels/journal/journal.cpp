// SPDX-License-Identifier: Apache-2.0
// The journal of a training: its checks and its cost.
#include "kernels/journal/journal.h"

#include "kernels/common/check.h"

namespace isda::kernels {

void check(const Journal& op) {
  check_shape(op.name, "loss", op.loss, {1}, "the loss of a step");
  require(op.loss.type() == DType::f32 || op.loss.type() == DType::f64, "[{}] loss is {}, expected f32 or f64", op.name, name_of(op.loss.type()));
  check_shape(op.name, "correct", op.correct, {1}, "the hits of a step");
  check_type(op.name, "correct", op.correct, DType::i32);
  check_rank(op.name, "losses", op.losses, 1, "(L)");
  check_type(op.name, "losses", op.losses, op.loss.type());
  check_shape(op.name, "hits", op.hits, op.losses.shape(), "the shape of losses");
  check_type(op.name, "hits", op.hits, DType::i32);
  check_shape(op.name, "row", op.row, {1}, "the next row");
  check_type(op.name, "row", op.row, DType::i32);
}

Cost cost(const Journal& op) { return {.flop = 0, .bytes = static_cast<double>(2 * op.loss.bytes() + 2 * op.correct.bytes() + 2 * op.row.bytes())}; }

}  // namespace isda::kernels
