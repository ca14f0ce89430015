// SPDX-License-Identifier: Apache-2.0
// Parts of JPEG files as RGB bytes, by libjpeg-turbo.   ITU-T T.81; Adobe TN 5116 for CMYK.
//
// A crop costs what lies above it and in it: rows above are only unpacked (Huffman), rows below not read, columns beside it not transformed. Where the crop is
// at least twice, four or eight times as large as what it is to become, it is decoded at half, a quarter or an eighth of its size, which the transform gives
// for less than nothing. NOTE: libjpeg's other scales (n/8) are left out: they have no vector code, and cost more than the whole.
//
// Gray becomes RGB. CMYK and YCCK are stored inverted, as Adobe does and as everyone reads them, and become RGB as in Pillow: (255-C)(255-K)/255, ...
// What Huffman data cannot be is an Error; so is a file that has no end. Bytes between segments that belong to none, which cameras and tools leave, are not.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/common/view.h"

namespace isda {

// A file that is no JPEG, or a damaged one.
class CorruptImage : public Error {
 public:
  using Error::Error;
};

// A box in pixels, with fractions.
struct PixelBox {
  double left = 0, top = 0, right = 0, bottom = 0;
};

// What was decoded around a box: pixels (1,rows,columns,3) u8, and where in them the box lies.
struct DecodedPart {
  ConstView pixels;
  PixelBox box;
};

// Decodes one file after the other, in one thread; its buffers are as large as the largest so far.
class JpegDecoder {
 public:
  JpegDecoder();
  ~JpegDecoder();
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  // Reads a file and its header. Throws CorruptImage that names it, and Error where it cannot be read.
  void open(const std::filesystem::path& file);
  std::int64_t height() const { return height_; }
  std::int64_t width() const { return width_; }

  // Of the opened file: `box` within it, and what a bilinear filter looks at around it when the box becomes (height,width). Valid until the next call.
  DecodedPart decode(const PixelBox& box, std::int64_t height, std::int64_t width);

 private:
  struct Session;

  void read(const std::filesystem::path& file);
  void check_end() const;
  [[noreturn]] void fail_corrupt() const;

  std::unique_ptr<Session> session_;
  std::filesystem::path path_;
  std::vector<std::uint8_t> file_, pixels_, row_;
  std::int64_t height_ = 0, width_ = 0;
};

}  // namespace isda
