// SPDX-License-Identifier: Apache-2.0
#include "kernels/image_policy/image_policy.h"

#include "kernels/common/check.h"

namespace isda::kernels {

void check(const ImagePolicy& op) {
  check_rank(op.name, "images", op.images, 4, "(M,H,W,3)");
  const auto [M, H, W, C] = op.images.extents<4>();
  require(C == 3, "[{}] images is {}, expected 3 channels: the operations are those of colours", op.name, op.images.shape());
  require(H * W <= kMostPixels, "[{}] images is {}, expected images of at most {} pixels", op.name, op.images.shape(), kMostPixels);
  CroppedImages::of(op).check();
  check_type(op.name, "y", op.y, DType::u8);
  check_rank(op.name, "steps", op.steps, 3, "(P,S,16)");
  check_type(op.name, "steps", op.steps, DType::i32);
  require(op.steps.extent(2) == PolicyTable::kWords && op.steps.extent(1) <= kMostStepsOfOne, "[{}] steps is {}, expected (P,S,{}) with S at most {}", op.name,
          op.steps.shape(), PolicyTable::kWords, kMostStepsOfOne);
  check_rank(op.name, "rounds", op.rounds, 2, "(R,2)");
  check_shape(op.name, "rounds", op.rounds, {op.rounds.extent(0), 2}, "(R,2)");
  check_type(op.name, "rounds", op.rounds, DType::i32);
}

Cost cost(const ImagePolicy& op) { return {.flop = 0, .bytes = 2 * static_cast<double>(op.y.bytes()) + static_cast<double>(op.indices.bytes())}; }

}  // namespace isda::kernels
