// SPDX-License-Identifier: Apache-2.0
#include "datasets/image_files.h"

#include <algorithm>
#include <cmath>

#include "kernels/resized_crop/resized_crop.h"

namespace isda {

void ImageFiles::add(std::string_view name) {
  names_ += name;
  ends_.push_back(names_.size());
}

std::string_view ImageFiles::name(std::int64_t index) const {
  const auto place = static_cast<std::size_t>(index);
  const std::size_t begin = place == 0 ? 0 : ends_[place - 1];
  return std::string_view(names_).substr(begin, ends_[place] - begin);
}

PixelBox centre_box(std::int64_t image_height, std::int64_t image_width, std::int64_t resize_side, std::int64_t height, std::int64_t width) {
  const bool is_wide = image_width > image_height;
  const std::int64_t shorter = std::min(image_height, image_width), longer = std::max(image_height, image_width);
  const std::int64_t resized_longer = resize_side * longer / shorter;
  const std::int64_t resized_height = is_wide ? resize_side : resized_longer, resized_width = is_wide ? resized_longer : resize_side;
  // Halves to even, as Python rounds.
  const double top = std::nearbyint(static_cast<double>(resized_height - height) / 2), left = std::nearbyint(static_cast<double>(resized_width - width) / 2);
  const double down = static_cast<double>(image_height) / static_cast<double>(resized_height);
  const double across = static_cast<double>(image_width) / static_cast<double>(resized_width);
  return {left * across, top * down, (left + static_cast<double>(width)) * across, (top + static_cast<double>(height)) * down};
}

void load_image(const Context& context, JpegDecoder& decoder, const std::filesystem::path& file, std::int64_t resize_side, const ImageDraw* draw,
                const View& y) {
  decoder.open(file);
  const std::int64_t height = y.extent(1), width = y.extent(2);
  PixelBox box;
  std::int32_t is_flipped = 0;
  if (draw) {
    const auto drawn = kernels::draw_crop_box(draw->seed, draw->epoch, draw->index, decoder.height(), decoder.width());
    box = {static_cast<double>(drawn.left), static_cast<double>(drawn.top), static_cast<double>(drawn.left + drawn.width),
           static_cast<double>(drawn.top + drawn.height)};
    is_flipped = drawn.is_flipped ? 1 : 0;
  } else {
    box = centre_box(decoder.height(), decoder.width(), resize_side, height, width);
  }
  const DecodedPart part = decoder.decode(box, height, width);
  // NOTE: rounding to float may step over the edge.
  const auto right = static_cast<float>(part.pixels.extent(2)), bottom = static_cast<float>(part.pixels.extent(1));
  const float corners[4] = {static_cast<float>(part.box.left), static_cast<float>(part.box.top), std::min(static_cast<float>(part.box.right), right),
                            std::min(static_cast<float>(part.box.bottom), bottom)};
  run(context,
      kernels::ResizedCrop{.x = part.pixels, .boxes = ConstView(corners, DType::f32, {1, 4}), .flips = ConstView(&is_flipped, DType::i32, {1}), .y = y});
}

}  // namespace isda
