// SPDX-License-Identifier: Apache-2.0
// Center loss: the definition.
#include <vector>

#include "kernels/center_loss/center_loss.h"
#include "kernels/common/check.h"

namespace isda::kernels {

void run(Reference, const Context&, const CenterLoss& op) {
  const auto [N, A] = op.features.extents<2>();
  const std::int64_t C = op.centers.extent(0);
  check_labels(op.name, op.labels, C);
  std::vector<double> differences(static_cast<std::size_t>(C * A)), count(static_cast<std::size_t>(C));
  double squares = 0;
  for (std::int64_t n = 0; n < N; ++n) {
    const auto y = static_cast<std::int64_t>(op.labels.at(n));
    count[static_cast<std::size_t>(y)] += 1;
    for (std::int64_t a = 0; a < A; ++a) {
      const double difference = op.features.at(n, a) - op.centers.at(y, a);
      squares += difference * difference;
      differences[static_cast<std::size_t>(y * A + a)] += difference;
      op.dfeatures.set(op.weight / static_cast<double>(N) * difference, n, a);
    }
  }
  op.loss.set(op.weight / 2 * squares / static_cast<double>(N), 0);
  for (std::int64_t i = 0; i < C * A; ++i) {
    const double of_class = differences[static_cast<std::size_t>(i)] / (1 + count[static_cast<std::size_t>(i / A)]);
    op.centers.set_offset(op.centers.at_offset(i) + op.rate * of_class, i);
  }
}

}  // namespace isda::kernels
