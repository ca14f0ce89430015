// SPDX-License-Identifier: Apache-2.0
#include "kernels/resized_crop/resized_crop.h"

#include <algorithm>
#include <limits>

#include "kernels/common/check.h"

namespace isda::kernels {

void check(const ResizedCrop& op) {
  check_rank(op.name, "x", op.x, 4, "(N,H,W,C)");
  check_type(op.name, "x", op.x, DType::u8);
  check_rank(op.name, "y", op.y, 4, "(N,h,w,C)");
  check_type(op.name, "y", op.y, DType::u8);
  const std::int64_t N = op.x.extent(0), C = op.x.extent(3);
  check_shape(op.name, "y", op.y, {N, op.y.extent(1), op.y.extent(2), C}, "(N) and (C) of x");
  check_shape(op.name, "boxes", op.boxes, {N, 4}, "left, top, right and bottom of each image of x");
  check_type(op.name, "boxes", op.boxes, DType::f32);
  check_shape(op.name, "flips", op.flips, {N}, "a number for each image of x");
  check_type(op.name, "flips", op.flips, DType::i32);
  // NOTE: so far apart are pixels that a float still tells apart, with a thousandth of a pixel between them.
  constexpr std::int64_t kMost = 1 << 14;
  for (const ConstView& view : {op.x, ConstView(op.y)}) {
    require(view.extent(1) <= kMost && view.extent(2) <= kMost, "[{}] an image of {} is larger than {} pixels in height or width", op.name, view.shape(),
            kMost);
  }
}

// NOTE: of whole images, since it depends on the boxes.
Cost cost(const ResizedCrop& op) {
  const auto [N, H, W, C] = op.x.extents<4>();
  const std::int64_t h = op.y.extent(1), w = op.y.extent(2);
  const auto taps = static_cast<double>(H * w * (most_taps(W, w) - 1) + h * w * (most_taps(H, h) - 1));
  return {.flop = 2 * static_cast<double>(N * C) * taps, .bytes = static_cast<double>(op.x.bytes() + op.y.bytes())};
}

void check_boxes(const ResizedCrop& op) {
  const auto [N, H, W, C] = op.x.extents<4>();
  for (std::int64_t n = 0; n < N; ++n) {
    const float* box = op.boxes.as<float>() + 4 * n;
    const bool is_within =
        box[0] >= 0 && box[1] >= 0 && box[2] > box[0] && box[3] > box[1] && box[2] <= static_cast<float>(W) && box[3] <= static_cast<float>(H);
    require(is_within, "[{}] boxes[{}] is from ({},{}) to ({},{}), expected to be within the {} by {} pixels of x, and not empty", op.name, n, box[0], box[1],
            box[2], box[3], W, H);
  }
}

CropBox draw_crop_box(std::uint64_t seed, std::int32_t epoch, std::int32_t index, std::int64_t height, std::int64_t width) {
  constexpr double kLeastArea = 0.08, kLeastRatio = 3.0 / 4.0, kMostRatio = 4.0 / 3.0;
  const auto words_of = [&](std::uint64_t attempt) {
    return philox(seed, RandomStream::resized_crop, static_cast<std::uint32_t>(epoch), static_cast<std::uint32_t>(index) + (attempt << 32));
  };
  const auto fraction = [](std::uint32_t word) { return (word + 0.5) * 0x1p-32; };
  const auto place = [](std::uint32_t word, std::int64_t room) { return static_cast<std::int64_t>(uniform_below(word, static_cast<std::uint32_t>(room + 1))); };
  CropBox box{.is_flipped = (words_of(0)[0] >> 31) != 0};
  for (std::uint64_t attempt = 1; attempt <= 10; ++attempt) {
    const auto words = words_of(attempt);
    const double area = (kLeastArea + (1 - kLeastArea) * fraction(words[0])) * static_cast<double>(height * width);
    const double ratio = std::exp(std::log(kLeastRatio) + (std::log(kMostRatio) - std::log(kLeastRatio)) * fraction(words[1]));
    box.width = std::lround(std::sqrt(area * ratio));
    box.height = std::lround(std::sqrt(area / ratio));
    if (box.width < 1 || box.height < 1 || box.width > width || box.height > height) continue;
    box.left = place(words[2], width - box.width);
    box.top = place(words[3], height - box.height);
    return box;
  }
  const double ratio = static_cast<double>(width) / static_cast<double>(height);
  box.width = ratio > kMostRatio ? std::lround(static_cast<double>(height) * kMostRatio) : width;
  box.height = ratio < kLeastRatio ? std::lround(static_cast<double>(width) / kLeastRatio) : height;
  box.width = std::clamp<std::int64_t>(box.width, 1, width);
  box.height = std::clamp<std::int64_t>(box.height, 1, height);
  box.left = (width - box.width) / 2;
  box.top = (height - box.height) / 2;
  return box;
}

}  // namespace isda::kernels
