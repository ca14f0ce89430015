// SPDX-License-Identifier: Apache-2.0
#include "apps/png.h"

#include <png.h>

#include "core/atomic_file.h"
#include "kernels/common/error.h"

namespace isda {

void write_png(const std::filesystem::path& file, const Picture& picture) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width);
  image.height = static_cast<png_uint_32>(picture.height);
  image.format = PNG_FORMAT_RGB;
  // NOTE: asked twice: how many bytes it will be, and for them.
  png_alloc_size_t bytes = 0;
  const auto write_to = [&](void* memory) { return png_image_write_to_memory(&image, memory, &bytes, 0, picture.pixels.data(), 0, nullptr) != 0; };
  require(write_to(nullptr), "[png] a picture of {}x{} pixels: {}", picture.width, picture.height, image.message);
  std::vector<std::byte> encoded(bytes);
  require(write_to(encoded.data()), "[png] a picture of {}x{} pixels: {}", picture.width, picture.height, image.message);

  AtomicFile output(file, bytes);
  output.write(std::span(encoded).first(bytes));
  output.commit();
}

}  // namespace isda
