// SPDX-License-Identifier: Apache-2.0
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

#include "kernels/common/check.h"

namespace isda::kernels {

void check(const SoftmaxCrossEntropy& op) {
  check_rank(op.name, "logits", op.logits, 2, "(N,C)");
  check_float(op.name, "logits", op.logits);
  const std::int64_t N = op.logits.extent(0);
  const DType parameter = parameter_type(op.logits.type());
  const std::string batch = fmt::format("(N) of logits {}", op.logits.shape());
  check_labels_shape(op.name, op.labels, N, batch);
  require(op.label_smoothing >= 0 && op.label_smoothing < 1, "[{}] label_smoothing is {}, expected 0 or more and less than 1", op.name, op.label_smoothing);
  check_shape(op.name, "loss", op.loss, {1}, "one mean over the batch");
  check_type(op.name, "loss", op.loss, parameter);
  if (op.losses) {
    check_shape(op.name, "losses", op.losses, {N}, batch);
    check_type(op.name, "losses", op.losses, parameter);
  }
  if (op.dlogits) {
    check_shape(op.name, "dlogits", op.dlogits, op.logits.shape(), "the shape of logits");
    check_type(op.name, "dlogits", op.dlogits, op.logits.type());
  }
  if (op.correct) {
    check_shape(op.name, "correct", op.correct, {1}, "one count over the batch");
    check_type(op.name, "correct", op.correct, DType::i32);
  }
}

Cost cost(const SoftmaxCrossEntropy& op) {
  return {.flop = 5.0 * static_cast<double>(op.logits.size()), .bytes = static_cast<double>(op.logits.bytes() + op.dlogits.bytes() + op.labels.bytes())};
}

}  // namespace isda::kernels
