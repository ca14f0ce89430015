// SPDX-License-Identifier: Apache-2.0
#include "datasets/jpeg.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <string_view>

// NOTE: jpeglib.h needs size_t and FILE before it.
#include <jpeglib.h>
// NOTE: and this one the other.
#include <jerror.h>

namespace isda {

namespace {

// Columns beside what is looked at: where a row is cut off, libjpeg makes the colour of its outermost pixel from one neighbour in place of two.
constexpr std::int64_t kMargin = 1;

// (255-a)(255-k)/255 as Pillow rounds it; both are stored inverted.
std::uint8_t times(int a, int k) {
  const int product = (255 - a) * k + 128;
  return static_cast<std::uint8_t>(std::max(k - ((product >> 8) + product) / 256, 0));
}

void cmyk_to_rgb(const std::uint8_t* cmyk, std::int64_t count, std::uint8_t* rgb) {
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t c = 0; c < 3; ++c) rgb[3 * i + c] = times(cmyk[4 * i + c], cmyk[4 * i + 3]);
  }
}

// [begin, end) of the pixels that a filter of `reach` looks at around [low, high).
struct Range {
  std::int64_t begin, end;
};
Range around(double low, double high, double reach, std::int64_t extent) {
  return {std::max<std::int64_t>(static_cast<std::int64_t>(std::floor(low - reach)), 0),
          std::min<std::int64_t>(static_cast<std::int64_t>(std::ceil(high + reach)), extent)};
}

}  // namespace

// libjpeg's state. An error comes back by longjmp, to the attempt() that the call was made in.
struct JpegDecoder::Session {
  jpeg_decompress_struct info;
  jpeg_error_mgr errors;
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX] = "";
  bool is_corrupt = false;

  Session() {
    info.err = jpeg_std_error(&errors);
    info.client_data = this;
    errors.error_exit = [](j_common_ptr common) {
      auto& session = *static_cast<Session*>(common->client_data);
      session.note();
      std::longjmp(session.jump, 1);
    };
    errors.emit_message = [](j_common_ptr common, int level) {
      const int code = common->err->msg_code;
      if (level < 0 && (code == JWRN_HIT_MARKER || code == JWRN_JPEG_EOF || code == JWRN_HUFF_BAD_CODE || code == JWRN_ARITH_BAD_CODE))
        static_cast<Session*>(common->client_data)->note();
    };
    errors.output_message = [](j_common_ptr) {};
    jpeg_create_decompress(&info);
  }
  ~Session() { jpeg_destroy_decompress(&info); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // The first complaint is kept.
  void note() {
    if (!is_corrupt) errors.format_message(reinterpret_cast<j_common_ptr>(&info), message);
    is_corrupt = true;
  }

  // Whether `step` went through. NOTE: it must not own anything, since an error jumps out of it.
  template <class Step>
  bool attempt(const Step& step) {
    if (setjmp(jump) != 0) return false;
    step();
    return !is_corrupt;
  }
};

JpegDecoder::JpegDecoder() : session_(std::make_unique<Session>()) {}
JpegDecoder::~JpegDecoder() = default;

void JpegDecoder::fail_corrupt() const {
  const std::string_view begin(reinterpret_cast<const char*>(file_.data()), std::min<std::size_t>(file_.size(), 8));
  if (begin == "\x89PNG\r\n\x1a\n") throw CorruptImage(fmt::format("[{}] is a PNG image, expected a JPEG: convert it", path_.string()));
  throw CorruptImage(fmt::format("[{}] is no whole JPEG: {}", path_.string(), session_->message));
}

void JpegDecoder::read(const std::filesystem::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  require(descriptor >= 0, "[{}] cannot be opened: {}", file.string(), std::strerror(errno));
  struct stat status {};
  int error = ::fstat(descriptor, &status) == 0 ? 0 : errno;
  file_.resize(error == 0 ? static_cast<std::size_t>(status.st_size) : 0);
  for (std::size_t done = 0; error == 0 && done < file_.size();) {
    const ssize_t got = ::read(descriptor, file_.data() + done, file_.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) error = errno;
    if (got == 0) file_.resize(done);
    if (got > 0) done += static_cast<std::size_t>(got);
  }
  ::close(descriptor);
  require(error == 0, "[{}] cannot be read: {}", file.string(), std::strerror(error));
}

// The marker that ends a JPEG stands somewhere behind the header: 255 217 is nothing else in Huffman data.
// NOTE: so a file that was cut is found also where the rows that it lacks are not asked for.
void JpegDecoder::check_end() const {
  const std::uint8_t* begin = session_->info.src->next_input_byte;
  for (const std::uint8_t* end = begin + session_->info.src->bytes_in_buffer; end - begin >= 2; --end) {
    if (end[-2] == 0xff && end[-1] == 0xd9) return;
  }
  throw CorruptImage(fmt::format("[{}] is no whole JPEG: it is truncated, after {} bytes", path_.string(), file_.size()));
}

void JpegDecoder::open(const std::filesystem::path& file) {
  path_ = file;
  read(file);
  Session& session = *session_;
  session.is_corrupt = false;
  jpeg_abort_decompress(&session.info);
  if (file_.empty()) throw CorruptImage(fmt::format("[{}] is no whole JPEG: it is empty", path_.string()));
  const bool is_sound = session.attempt([&] {
    jpeg_mem_src(&session.info, file_.data(), static_cast<unsigned long>(file_.size()));
    jpeg_read_header(&session.info, TRUE);
  });
  if (!is_sound) fail_corrupt();
  check_end();
  height_ = session.info.image_height;
  width_ = session.info.image_width;
}

DecodedPart JpegDecoder::decode(const PixelBox& box, std::int64_t height, std::int64_t width) {
  Session& session = *session_;
  jpeg_decompress_struct& info = session.info;
  const double shrink = std::min((box.right - box.left) / static_cast<double>(width), (box.bottom - box.top) / static_cast<double>(height));
  const unsigned scale = shrink >= 8 ? 8 : shrink >= 4 ? 4 : shrink >= 2 ? 2 : 1;
  const bool is_cmyk = info.num_components == 4;
  bool is_sound = session.attempt([&] {
    info.scale_num = 1;
    info.scale_denom = scale;
    info.out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&info);
  });
  if (!is_sound) fail_corrupt();

  // Which pixels, at that scale.
  const PixelBox scaled{box.left / scale, box.top / scale, box.right / scale, box.bottom / scale};
  const double step_across = (scaled.right - scaled.left) / static_cast<double>(width), step_down = (scaled.bottom - scaled.top) / static_cast<double>(height);
  const Range rows = around(scaled.top, scaled.bottom, std::max(step_down, 1.0), info.output_height);
  const Range columns = around(scaled.left, scaled.right, std::max(step_across, 1.0), info.output_width);
  JDIMENSION first = static_cast<JDIMENSION>(std::max<std::int64_t>(columns.begin - kMargin, 0));
  JDIMENSION count = static_cast<JDIMENSION>(std::min<std::int64_t>(columns.end + kMargin, info.output_width)) - first;
  is_sound = session.attempt([&] {
    if (count < info.output_width) jpeg_crop_scanline(&info, &first, &count);
    if (rows.begin > 0) jpeg_skip_scanlines(&info, static_cast<JDIMENSION>(rows.begin));
  });
  if (!is_sound) fail_corrupt();

  // Decode them.
  const std::int64_t row_bytes = std::int64_t{3} * count;
  pixels_.resize(static_cast<std::size_t>((rows.end - rows.begin) * row_bytes));
  row_.resize(is_cmyk ? static_cast<std::size_t>(4 * count) : 0);
  is_sound = session.attempt([&] {
    for (std::int64_t row = 0; row < rows.end - rows.begin; ++row) {
      std::uint8_t* const rgb = pixels_.data() + row * row_bytes;
      JSAMPROW line = is_cmyk ? row_.data() : rgb;
      jpeg_read_scanlines(&info, &line, 1);
      if (is_cmyk) cmyk_to_rgb(line, count, rgb);
    }
  });
  jpeg_abort_decompress(&info);
  if (!is_sound) fail_corrupt();
  const auto across = static_cast<double>(first), down = static_cast<double>(rows.begin);
  return {.pixels = ConstView(pixels_.data(), DType::u8, {1, rows.end - rows.begin, static_cast<std::int64_t>(count), 3}),
          .box = {scaled.left - across, scaled.top - down, scaled.right - across, scaled.bottom - down}};
}

}  // namespace isda
