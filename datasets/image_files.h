// SPDX-License-Identifier: Apache-2.0
// Images that stay on the disk: their names, and how one becomes the pixels of a batch.
//
//   training     a box drawn from the image (kernels/resized_crop/resized_crop.h), brought to the split's size, and a flip
//   evaluation   the image with its shorter side brought to resize_side, of which the middle is taken: one box of it, brought to the split's size at once
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/jpeg.h"
#include "kernels/common/context.h"

namespace isda {

// Names of files below a folder, in order, in 8 bytes more than they are long: ImageNet's 1.28 million take 50 MB.
class ImageFiles {
 public:
  explicit ImageFiles(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // name: below the folder, "n01440764/n01440764_10026.JPEG"
  void add(std::string_view name);
  std::int64_t size() const { return static_cast<std::int64_t>(ends_.size()); }
  std::string_view name(std::int64_t index) const;
  std::filesystem::path path(std::int64_t index) const { return folder_ / name(index); }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
  std::string names_;
  std::vector<std::size_t> ends_;  // of each name in names_
};

// What a training image is drawn by.
struct ImageDraw {
  std::uint64_t seed = 0;
  std::int32_t epoch = 0, index = 0;
};

// The box of an image of evaluation that becomes (height,width). NOTE: as torchvision's Resize(resize_side), CenterCrop round it.
PixelBox centre_box(std::int64_t image_height, std::int64_t image_width, std::int64_t resize_side, std::int64_t height, std::int64_t width);

// Decodes a file and brings a box of it to y (1,h,w,3) u8: the drawn one, or the one in the middle where draw is null. Throws CorruptImage.
void load_image(const Context& context, JpegDecoder& decoder, const std::filesystem::path& file, std::int64_t resize_side, const ImageDraw* draw,
                const View& y);

}  // namespace isda
