// SPDX-License-Identifier: Apache-2.0
#include "kernels/image_policy/image_policy.h"

#include "kernels/common/check.h"

namespace isda::kernels {

void check(const ImagePolicy& op) {
  check_rank(op.name, "images", op.images, 4, "(M,H,W,3)");
  check_type(op.name, "images", op.images, DType::u8);
  check_rank(op.name, "indices", op.indices, 1, "(N)");
  check_type(op.name, "indices", op.indices, DType::i32);
  const auto [M, H, W, C] = op.images.extents<4>();
  const std::int64_t N = op.indices.extent(0);
  require(C == 3, "[{}] images is {}, expected 3 channels: the operations are those of colours", op.name, op.images.shape());
  require(H * W <= kMostPixels, "[{}] images is {}, expected images of at most {} pixels", op.name, op.images.shape(), kMostPixels);
  require(op.gathered_from >= 0, "[{}] gathered_from is {}, expected the images of the set, or 0 where images is the set", op.name, op.gathered_from);
  if (op.gathered_from > 0) check_shape(op.name, "images", op.images, {N, H, W, C}, "gathered, so (N) of indices");
  check_shape(op.name, "epoch", op.epoch, {1}, "one number for the batch");
  check_type(op.name, "epoch", op.epoch, DType::i32);
  check_rank(op.name, "steps", op.steps, 3, "(P,S,16)");
  check_type(op.name, "steps", op.steps, DType::i32);
  require(op.steps.extent(2) == PolicyTable::kWords && op.steps.extent(1) <= kMostStepsOfOne, "[{}] steps is {}, expected (P,S,{}) with S at most {}", op.name,
          op.steps.shape(), PolicyTable::kWords, kMostStepsOfOne);
  check_rank(op.name, "rounds", op.rounds, 2, "(R,2)");
  check_shape(op.name, "rounds", op.rounds, {op.rounds.extent(0), 2}, "(R,2)");
  check_type(op.name, "rounds", op.rounds, DType::i32);
  require(op.padding >= 0 && op.padding < H && op.padding < W, "[{}] padding is {}, expected 0 to {}: reflection must stay within an image of {}x{} pixels",
          op.name, op.padding, (H < W ? H : W) - 1, H, W);
  check_shape(op.name, "y", op.y, {N, H, W, C}, "(N) of indices, (H,W,C) of images");
  check_type(op.name, "y", op.y, DType::u8);
}

Cost cost(const ImagePolicy& op) { return {.flop = 0, .bytes = 2 * static_cast<double>(op.y.bytes()) + static_cast<double>(op.indices.bytes())}; }

void check_indices(const ImagePolicy& op) {
  const std::int64_t M = op.gathered_from > 0 ? op.gathered_from : op.images.extent(0);
  const std::int32_t* indices = op.indices.as<std::int32_t>();
  for (std::int64_t n = 0; n < op.indices.extent(0); ++n) {
    require(indices[n] >= 0 && indices[n] < M, "[{}] indices[{}] is {}, expected 0 to {}: there are {} images", op.name, n, indices[n], M - 1, M);
  }
}

}  // namespace isda::kernels
