// SPDX-License-Identifier: Apache-2.0
// Center loss: its checks and its cost.
#include "kernels/center_loss/center_loss.h"

#include <cmath>

#include "kernels/common/check.h"

namespace isda::kernels {

void check(const CenterLoss& op) {
  check_rank(op.name, "features", op.features, 2, "(N,A)");
  check_features(op.name, op.features);
  check_labels_shape(op.name, op.labels, op.features.extent(0), "(N) of features (N,A)");
  check_rank(op.name, "centers", op.centers, 2, "(C,A)");
  check_shape(op.name, "centers", op.centers, {op.centers.extent(0), op.features.extent(1)}, "(C,A) of features (N,A)");
  check_type(op.name, "centers", op.centers, op.features.type());
  check_shape(op.name, "loss", op.loss, {1}, "one mean over the batch");
  check_type(op.name, "loss", op.loss, op.features.type());
  check_shape(op.name, "dfeatures", op.dfeatures, op.features.shape(), "the shape of features");
  check_type(op.name, "dfeatures", op.dfeatures, op.features.type());
  require(op.weight >= 0 && std::isfinite(op.weight), "[{}] weight is {}, expected 0 or more", op.name, op.weight);
  require(op.rate >= 0 && op.rate <= 1, "[{}] rate is {}, expected from 0 to 1", op.name, op.rate);
}

Cost cost(const CenterLoss& op) {
  return {.flop = 6.0 * static_cast<double>(op.features.size()),
          .bytes = static_cast<double>(2 * op.features.bytes() + op.dfeatures.bytes() + 2 * op.centers.bytes())};
}

}  // namespace isda::kernels
