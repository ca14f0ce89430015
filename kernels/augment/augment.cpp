// SPDX-License-Identifier: Apache-2.0
#include "kernels/augment/augment.h"

#include "kernels/common/check.h"

namespace isda::kernels {

namespace {

constexpr int kMostHoles = 1024, kMostHoleLength = 1 << 20;

}  // namespace

void check(const Augment& op) {
  check_rank(op.name, "images", op.images, 4, "(M,H,W,C)");
  check_type(op.name, "images", op.images, DType::u8);
  check_rank(op.name, "indices", op.indices, 1, "(N)");
  check_type(op.name, "indices", op.indices, DType::i32);
  const auto [M, H, W, C] = op.images.extents<4>();
  const std::int64_t N = op.indices.extent(0);
  require(op.gathered_from >= 0, "[{}] gathered_from is {}, expected the images of the set, or 0 where images is the set", op.name, op.gathered_from);
  if (op.gathered_from > 0) check_shape(op.name, "images", op.images, {N, H, W, C}, "gathered, so (N) of indices");
  check_shape(op.name, "y", op.y, {N, H, W, C}, "(N) of indices, (H,W,C) of images");
  check_float(op.name, "y", op.y);
  for (const auto& [argument, view] : {std::pair{"mean", op.mean}, std::pair{"deviation", op.deviation}}) {
    check_shape(op.name, argument, view, {C}, "(C) of images");
    check_type(op.name, argument, view, parameter_type(op.y.type()));
  }
  check_shape(op.name, "epoch", op.epoch, {1}, "one number for the batch");
  check_type(op.name, "epoch", op.epoch, DType::i32);
  require(op.padding >= 0 && op.padding < H && op.padding < W,
          "[augment] padding is {}, expected 0 to {}: reflection must stay within an image of {}x{} pixels", op.padding, (H < W ? H : W) - 1, H, W);
  require(op.holes >= 0 && op.holes <= kMostHoles, "[{}] {} holes, expected 0 to {}", op.name, op.holes, kMostHoles);
  require(op.hole_length >= 0 && op.hole_length <= kMostHoleLength, "[{}] hole_length is {}, expected 0 to {}", op.name, op.hole_length, kMostHoleLength);
}

Cost cost(const Augment& op) {
  return {.flop = 2 * static_cast<double>(op.y.size()), .bytes = static_cast<double>(op.y.size() + op.y.bytes() + op.indices.bytes())};
}

void check_indices(const Augment& op) {
  const std::int64_t M = op.gathered_from > 0 ? op.gathered_from : op.images.extent(0);
  const std::int32_t* indices = op.indices.as<std::int32_t>();
  for (std::int64_t n = 0; n < op.indices.extent(0); ++n) {
    require(indices[n] >= 0 && indices[n] < M, "[augment] indices[{}] is {}, expected 0 to {}: images is {}", n, indices[n], M - 1, op.images.shape());
  }
}

}  // namespace isda::kernels
