// SPDX-License-Identifier: Apache-2.0
// JPEG files for tests, made by libjpeg.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <jpeglib.h>

#include "kernels/common/philox.h"

namespace isda {

struct Picture {
  std::int64_t height = 0, width = 0, channels = 3;
  std::vector<std::uint8_t> bytes;
};

// Slow waves, each channel its own.
inline Picture waves(std::int64_t height, std::int64_t width, std::int64_t channels, int seed) {
  Picture picture{height, width, channels, {}};
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      for (std::int64_t c = 0; c < channels; ++c) {
        const std::int64_t phase = (x * (3 + c + seed % 5) + y * (5 - c) + 40 * seed + 70 * c) % 510;
        picture.bytes.push_back(static_cast<std::uint8_t>(phase < 255 ? phase : 509 - phase));
      }
    }
  }
  return picture;
}

// Nothing that a neighbour could tell.
inline Picture noise(std::int64_t height, std::int64_t width, std::int64_t channels, std::uint64_t seed) {
  Picture picture{height, width, channels, {}};
  for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(height * width * channels); ++i) {
    picture.bytes.push_back(static_cast<std::uint8_t>(philox(seed, RandomStream::test, 3, i)[0]));
  }
  return picture;
}

struct JpegOptions {
  int quality = 90;
  int across = 2, down = 2;  // how often luminance is sampled for each colour
  bool is_progressive = false;
  J_COLOR_SPACE stored = JCS_UNKNOWN;  // unknown: what libjpeg takes by itself
};

inline std::string jpeg_of(const Picture& picture, const JpegOptions& options = {}) {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long bytes = 0;
  jpeg_mem_dest(&info, &memory, &bytes);
  info.image_height = static_cast<JDIMENSION>(picture.height);
  info.image_width = static_cast<JDIMENSION>(picture.width);
  info.input_components = static_cast<int>(picture.channels);
  info.in_color_space = picture.channels == 1 ? JCS_GRAYSCALE : picture.channels == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&info);
  if (options.stored != JCS_UNKNOWN) jpeg_set_colorspace(&info, options.stored);
  jpeg_set_quality(&info, options.quality, TRUE);
  if (picture.channels == 3) {
    info.comp_info[0].h_samp_factor = options.across;
    info.comp_info[0].v_samp_factor = options.down;
  }
  if (options.is_progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  for (std::int64_t y = 0; y < picture.height; ++y) {
    auto* row = const_cast<JSAMPROW>(picture.bytes.data() + y * picture.width * picture.channels);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::string file(reinterpret_cast<const char*>(memory), bytes);
  std::free(memory);
  return file;
}

}  // namespace isda
