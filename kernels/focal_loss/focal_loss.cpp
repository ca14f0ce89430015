// SPDX-License-Identifier: Apache-2.0
// Focal loss: its checks and its cost.
#include "kernels/focal_loss/focal_loss.h"

#include "kernels/common/check.h"

namespace isda::kernels {

void check(const FocalLoss& op) {
  check_rank(op.name, "dlogits", op.dlogits, 2, "(N,C)");
  check_float(op.name, "dlogits", op.dlogits);
  const DType parameter = parameter_type(op.dlogits.type());
  check_shape(op.name, "losses", op.losses, {op.dlogits.extent(0)}, fmt::format("(N) of dlogits {}", op.dlogits.shape()));
  check_type(op.name, "losses", op.losses, parameter);
  check_shape(op.name, "loss", op.loss, {1}, "one mean over the batch");
  check_type(op.name, "loss", op.loss, parameter);
  require(op.gamma >= 0 && std::isfinite(op.gamma), "[{}] gamma is {}, expected 0 or more", op.name, op.gamma);
}

Cost cost(const FocalLoss& op) {
  return {.flop = static_cast<double>(op.dlogits.size() + 20 * op.losses.size()), .bytes = static_cast<double>(2 * op.dlogits.bytes() + op.losses.bytes())};
}

}  // namespace isda::kernels
