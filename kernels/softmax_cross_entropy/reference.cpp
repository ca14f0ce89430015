// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "kernels/common/check.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace isda::kernels {

void run(Reference, const Context&, const SoftmaxCrossEntropy& op) {
  const auto [N, C] = op.logits.extents<2>();
  check_labels(op.name, op.labels, C);
  const double smoothing = op.label_smoothing;
  double total = 0;
  int hits = 0;
  for (std::int64_t n = 0; n < N; ++n) {
    const auto label = static_cast<std::int64_t>(op.labels.at(n));
    double largest = op.logits.at(n, 0);
    for (std::int64_t c = 1; c < C; ++c) largest = std::max(largest, op.logits.at(n, c));
    double sum = 0;
    for (std::int64_t c = 0; c < C; ++c) sum += std::exp(op.logits.at(n, c) - largest);
    const double log_sum = std::log(sum);

    double loss = 0;
    bool is_hit = true;
    for (std::int64_t c = 0; c < C; ++c) {
      const double log_probability = op.logits.at(n, c) - largest - log_sum;
      const double target = (c == label ? 1 - smoothing : 0) + smoothing / static_cast<double>(C);
      // NOTE: no target, no term: a logit of -infinity has probability 0 and costs nothing where it is not asked for. A NaN stays a NaN.
      if (target > 0 || std::isnan(log_probability)) loss -= target * log_probability;
      if (op.dlogits) op.dlogits.set((std::exp(log_probability) - target) / static_cast<double>(N), n, c);
      const double own = op.logits.at(n, label), other = op.logits.at(n, c);
      is_hit = is_hit && (c < label ? own > other : own >= other);
    }
    if (op.losses) op.losses.set(loss, n);
    total += loss;
    hits += is_hit;
  }
  op.loss.set(total / static_cast<double>(N), 0);
  if (op.correct) op.correct.set(hits, 0);
}

}  // namespace isda::kernels
