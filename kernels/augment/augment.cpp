// SPDX-License-Identifier: Apache-2.0
#include "kernels/augment/augment.h"

#include "kernels/common/check.h"

namespace isda::kernels {

namespace {

constexpr int kMostHoles = 1024, kMostHoleLength = 1 << 20;

}  // namespace

void check(const Augment& op) {
  CroppedImages::of(op).check();
  check_float(op.name, "y", op.y);
  for (const auto& [argument, view] : {std::pair{"mean", op.mean}, std::pair{"deviation", op.deviation}}) {
    check_shape(op.name, argument, view, {op.images.extent(3)}, "(C) of images");
    check_type(op.name, argument, view, parameter_type(op.y.type()));
  }
  require(op.holes >= 0 && op.holes <= kMostHoles, "[{}] {} holes, expected 0 to {}", op.name, op.holes, kMostHoles);
  require(op.hole_length >= 0 && op.hole_length <= kMostHoleLength, "[{}] hole_length is {}, expected 0 to {}", op.name, op.hole_length, kMostHoleLength);
}

Cost cost(const Augment& op) {
  return {.flop = 2 * static_cast<double>(op.y.size()), .bytes = static_cast<double>(op.y.size() + op.y.bytes() + op.indices.bytes())};
}

void CroppedImages::check() const {
  check_rank(name, "images", images, 4, "(M,H,W,C)");
  check_type(name, "images", images, DType::u8);
  check_rank(name, "indices", indices, 1, "(N)");
  check_type(name, "indices", indices, DType::i32);
  const auto [M, H, W, C] = images.extents<4>();
  const std::int64_t N = indices.extent(0);
  require(gathered_from >= 0, "[{}] gathered_from is {}, expected the images of the set, or 0 where images is the set", name, gathered_from);
  if (gathered_from > 0) check_shape(name, "images", images, {N, H, W, C}, "gathered, so (N) of indices");
  check_shape(name, "y", y, {N, H, W, C}, "(N) of indices, (H,W,C) of images");
  check_shape(name, "epoch", epoch, {1}, "one number for the batch");
  check_type(name, "epoch", epoch, DType::i32);
  require(padding >= 0 && padding < H && padding < W, "[{}] padding is {}, expected 0 to {}: reflection must stay within an image of {}x{} pixels", name,
          padding, (H < W ? H : W) - 1, H, W);
}

void CroppedImages::check_indices() const {
  const std::int64_t M = set_size();
  const std::int32_t* index = indices.as<std::int32_t>();
  for (std::int64_t n = 0; n < indices.extent(0); ++n) {
    require(index[n] >= 0 && index[n] < M, "[{}] indices[{}] is {}, expected 0 to {}: there are {} images", name, n, index[n], M - 1, M);
  }
}

}  // namespace isda::kernels
