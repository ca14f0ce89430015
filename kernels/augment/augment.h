// SPDX-License-Identifier: Apache-2.0
// A batch of training images from the bytes of a whole data set: reflect padding, random crop, random flip, normalisation, Cutout.
//
//   images (M,H,W,C) u8      indices (N) i32 in [0,M)      epoch (1) i32      y (N,H,W,C) f32|bf16|f64
//   mean, deviation (C) in units of the bytes, f64 with f64, otherwise f32
//   y[n,h,w,c] = (images[indices[n], reflect(h + top - padding, H), reflect(w' + left - padding, W), c] - mean[c]) / deviation[c]
//   w' = w, or W-1-w in a flipped image
//   reflect(i, L) = -i for i < 0, 2(L-1) - i for i >= L: the edge itself is not repeated (numpy's and PyTorch's "reflect")
//   Cutout: in each of `holes` squares of hole_length x hole_length pixels, cut off at the border, y is 0, the mean; their middles are any pixels.
//           DeVries, Taylor, Improved Regularization of CNNs with Cutout, 2017, whose code cuts behind the normalisation, too
//   FLOP 2*N*H*W*C           bytes  one byte read and one element written per pixel and channel
//
// The draws of an image are a function of (seed, epoch, its index) alone: who computes it, and in which batch, does not matter.
// padding 0 and flip false leave the normalisation: evaluation.
// With `gathered_from` the images are those of the batch already, in its order, and the indices only say which draws are theirs: for bytes that another
// operation made (kernels/image_policy).
// An index outside [0,M) is an Error where the host reads the indices. The cuda device, where it does not, makes the image NaN: the loss shows it.
#pragma once
#include "kernels/common/operation.h"
#include "kernels/common/philox.h"

namespace isda::kernels {

struct Augment {
  static constexpr auto name = "augment";
  ConstView images;     // (M,H,W,C), or with `gathered_from` (N,H,W,C)
  ConstView indices;    // (N)
  ConstView mean;       // (C)
  ConstView deviation;  // (C)
  ConstView epoch;      // (1): lives beside the other arrays, so that a captured step can be replayed in the next epoch
  std::uint64_t seed = 0;
  int padding = 4;                 // pixels added at each side, less than H and W
  bool flip = true;                // mirror left and right with probability 1/2
  std::int64_t gathered_from = 0;  // the images of the set, M, where `images` are gathered
  int holes = 0;
  int hole_length = 0;
  View y;  // (N,H,W,C), overwritten
};
ISDA_OPERATION(Augment);

// Where the crop begins in the padded image, and whether it is mirrored.
struct Crop {
  int top = 0;
  int left = 0;
  bool is_flipped = false;
};

constexpr Crop draw_crop(std::uint64_t seed, std::int32_t epoch, std::int32_t index, int padding, bool flip) {
  const auto words = philox(seed, RandomStream::augmentation, static_cast<std::uint32_t>(epoch), static_cast<std::uint32_t>(index));
  const auto offsets = static_cast<std::uint32_t>(2 * padding + 1);
  return {.top = static_cast<int>(uniform_below(words[0], offsets)),
          .left = static_cast<int>(uniform_below(words[1], offsets)),
          .is_flipped = flip && (words[2] >> 31) != 0};
}

// The pixels of a hole: rows from top to bottom - 1, columns from left to right - 1.
struct Hole {
  int top = 0, left = 0, bottom = 0, right = 0;

  constexpr bool has(int h, int w) const { return h >= top && h < bottom && w >= left && w < right; }
};

constexpr Hole draw_hole(std::uint64_t seed, std::int32_t epoch, std::int32_t index, int hole, int length, int height, int width) {
  const auto words =
      philox(seed, RandomStream::cutout, static_cast<std::uint64_t>(hole) << 32 | static_cast<std::uint32_t>(epoch), static_cast<std::uint32_t>(index));
  const int top = static_cast<int>(uniform_below(words[0], static_cast<std::uint32_t>(height))) - length / 2;
  const int left = static_cast<int>(uniform_below(words[1], static_cast<std::uint32_t>(width))) - length / 2;
  const int bottom = top + length, right = left + length;
  return {top < 0 ? 0 : top, left < 0 ? 0 : left, bottom < height ? bottom : height, right < width ? right : width};
}

// The position in [0, length) that a position in [-(length-1), 2*length-2] mirrors to.
constexpr std::int64_t reflect(std::int64_t position, std::int64_t length) {
  if (position < 0) return -position;
  return position < length ? position : 2 * (length - 1) - position;
}

// What every operation that crops images of a set has in common. Throws Error.
struct CroppedImages {
  const char* name;
  ConstView images, indices, epoch;
  std::int64_t gathered_from;
  int padding;
  ConstView y;

  template <class Operation>
  static CroppedImages of(const Operation& op) {
    return {op.name, op.images, op.indices, op.epoch, op.gathered_from, op.padding, op.y};
  }
  std::int64_t set_size() const { return gathered_from > 0 ? gathered_from : images.extent(0); }
  void check() const;
  // Every index is in [0,M). Reads the indices, so host versions call it and check() does not.
  void check_indices() const;
};

}  // namespace isda::kernels
