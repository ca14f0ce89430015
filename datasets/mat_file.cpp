// SPDX-License-Identifier: Apache-2.0
#include "datasets/mat_file.h"

#include <fmt/ranges.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <numeric>

#include "kernels/common/error.h"

namespace isda {

namespace {

constexpr std::uint32_t kInt8 = 1, kUint8 = 2, kInt16 = 3, kUint16 = 4, kInt32 = 5, kUint32 = 6, kSingle = 7, kDouble = 9, kMatrix = 14, kCompressed = 15;
constexpr std::size_t kHeaderBytes = 128, kChunk = std::size_t{1} << 16;

std::int64_t size_of_type(std::uint32_t type) {
  switch (type) {
    case kInt8:
    case kUint8: return 1;
    case kInt16:
    case kUint16: return 2;
    case kInt32:
    case kUint32:
    case kSingle: return 4;
    case kDouble: return 8;
    default: return 0;
  }
}

template <class T>
double number(const std::uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return static_cast<double>(value);
}

double number_of_type(std::uint32_t type, const std::uint8_t* bytes) {
  switch (type) {
    case kInt8: return number<std::int8_t>(bytes);
    case kUint8: return number<std::uint8_t>(bytes);
    case kInt16: return number<std::int16_t>(bytes);
    case kUint16: return number<std::uint16_t>(bytes);
    case kInt32: return number<std::int32_t>(bytes);
    case kUint32: return number<std::uint32_t>(bytes);
    case kSingle: return number<float>(bytes);
    default: return number<double>(bytes);
  }
}

}  // namespace

// The bytes of the file's elements, unpacked.
class MatFile::Source {
 public:
  Source(const std::filesystem::path& path, const std::string& advice) : path_(path), advice_(advice), stream_(path, std::ios::binary), input_(kChunk) {
    require(stream_.is_open(), "[{}] cannot be opened: {}; {}", path.string(), std::strerror(errno), advice);
  }
  ~Source() { close(); }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  // From the file itself; false at its end.
  bool read_raw(void* to, std::size_t bytes) {
    stream_.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes));
    const auto got = static_cast<std::size_t>(stream_.gcount());
    if (got == 0) return false;
    check_whole(got == bytes);
    return true;
  }

  // Begins an element of `bytes` in the file, which is left by leave_element().
  void enter_element(bool is_compressed, std::uint32_t bytes) {
    end_ = stream_.tellg() + static_cast<std::streamoff>(bytes);
    left_ = bytes;
    if (is_compressed) {
      zlib_ = {};
      require(inflateInit(&zlib_) == Z_OK, "[{}] zlib cannot be used", path_.string());
      is_compressed_ = true;
    }
  }
  void leave_element() {
    close();
    stream_.clear();
    stream_.seekg(end_);
  }

  // Of the element.
  void read(void* to, std::size_t bytes) {
    if (!is_compressed_) {
      check_whole(bytes <= left_ && read_raw(to, bytes));
      left_ -= bytes;
      return;
    }
    zlib_.next_out = static_cast<Bytef*>(to);
    zlib_.avail_out = static_cast<uInt>(bytes);
    while (zlib_.avail_out > 0) {
      if (zlib_.avail_in == 0) {
        const std::size_t count = std::min(left_, kChunk);
        check_whole(count > 0 && read_raw(input_.data(), count));
        left_ -= count;
        zlib_.next_in = input_.data();
        zlib_.avail_in = static_cast<uInt>(count);
      }
      const int result = inflate(&zlib_, Z_NO_FLUSH);
      require(result == Z_OK || result == Z_STREAM_END, "[{}] is damaged ({}); {}", path_.string(), zlib_.msg ? zlib_.msg : "zlib", advice_);
      check_whole(result == Z_OK || zlib_.avail_out == 0);
    }
  }

 private:
  void check_whole(bool is_whole) const { require(is_whole, "[{}] is truncated or damaged: an array in it ends too early; {}", path_.string(), advice_); }
  void close() {
    if (is_compressed_) inflateEnd(&zlib_);
    is_compressed_ = false;
  }

  const std::filesystem::path& path_;
  const std::string& advice_;
  std::ifstream stream_;
  std::vector<Bytef> input_;
  std::streampos end_ = 0;
  std::size_t left_ = 0;  // bytes of the element in the file that were not read
  bool is_compressed_ = false;
  z_stream zlib_{};
};

MatFile::MatFile(const std::filesystem::path& file, std::string advice)
    : path_(file), advice_(std::move(advice)), source_(std::make_unique<Source>(path_, advice_)) {
  char header[kHeaderBytes] = "";
  const bool is_read = source_->read_raw(header, kHeaderBytes);
  require(is_read && std::memcmp(header + 124, "\0\1IM", 4) == 0, "[{}] is no MATLAB file of version 5; {}", path_.string(), advice_);
}

MatFile::~MatFile() = default;

MatFile::Tag MatFile::read_tag() {
  std::uint32_t words[2];
  source_->read(words, 4);
  if (words[0] >> 16 != 0) return {.type = words[0] & 0xffff, .bytes = words[0] >> 16, .is_small = true};
  source_->read(words + 1, 4);
  return {.type = words[0], .bytes = words[1]};
}

void MatFile::skip_filling(const Tag& tag) {
  std::uint8_t ignored[8];
  const std::uint32_t unit = tag.is_small ? 4 : 8;
  if (tag.bytes % unit != 0) source_->read(ignored, unit - tag.bytes % unit);
}

std::vector<std::int32_t> MatFile::read_small_array(std::uint32_t type, const char* what) {
  const Tag tag = read_tag();
  require(tag.type == type && tag.bytes <= 1024 && tag.bytes % 4 == 0, "[{}] is damaged: an array's {} have type {} and {} bytes; {}", path_.string(), what,
          tag.type, tag.bytes, advice_);
  std::vector<std::int32_t> values(tag.bytes / 4);
  source_->read(values.data(), tag.bytes);
  skip_filling(tag);
  return values;
}

void MatFile::read_header_of_array() {
  read_small_array(kUint32, "flags");
  extents_.clear();
  constexpr std::int64_t kMostNumbers = std::int64_t{1} << 32;
  std::int64_t numbers = 1;
  for (const std::int32_t extent : read_small_array(kInt32, "extents")) {
    extents_.push_back(extent);
    numbers *= extent;
    require(extent >= 0 && numbers <= kMostNumbers, "[{}] is damaged: an array has the extents ({}); {}", path_.string(), fmt::join(extents_, ","), advice_);
  }
  const Tag name = read_tag();
  require(name.type == kInt8 && name.bytes <= 1024, "[{}] is damaged: an array's name has type {} and {} bytes; {}", path_.string(), name.type, name.bytes,
          advice_);
  name_.resize(name.bytes);
  source_->read(name_.data(), name.bytes);
  skip_filling(name);
}

bool MatFile::next() {
  if (!name_.empty()) source_->leave_element();
  name_.clear();
  for (;;) {
    std::uint32_t tag[2];
    if (!source_->read_raw(tag, sizeof tag)) return false;
    source_->enter_element(tag[0] == kCompressed, tag[1]);
    bool is_array = tag[0] == kMatrix;
    if (tag[0] == kCompressed) is_array = read_tag().type == kMatrix;
    if (is_array) read_header_of_array();
    if (!name_.empty()) break;
    source_->leave_element();
  }
  const Tag numbers = read_tag();
  stored_type_ = numbers.type;
  const std::int64_t bytes = count() * size_of_type(numbers.type);
  // NOTE: cells, structures and texts have no numbers here; they are passed over by whoever looks for another name.
  if (size_of_type(numbers.type) > 0) {
    require(bytes == numbers.bytes, "[{}] is damaged: {} has {} bytes of numbers, expected {}; {}", path_.string(), name_, numbers.bytes, bytes, advice_);
  }
  return true;
}

std::int64_t MatFile::count() const { return std::accumulate(extents_.begin(), extents_.end(), std::int64_t{1}, std::multiplies<>()); }

void MatFile::read(std::int64_t count, std::int64_t lowest, std::int64_t highest, std::int32_t* numbers) {
  const std::int64_t size = size_of_type(stored_type_);
  require(size > 0, "[{}] {} holds no numbers; {}", path_.string(), name_, advice_);
  std::uint8_t bytes[8];
  for (std::int64_t i = 0; i < count; ++i) {
    source_->read(bytes, static_cast<std::size_t>(size));
    const double value = number_of_type(stored_type_, bytes);
    require(value >= static_cast<double>(lowest) && value <= static_cast<double>(highest) && value == static_cast<std::int32_t>(value),
            "[{}] number {} of {} is {}, expected an integer from {} to {}; {}", path_.string(), i, name_, value, lowest, highest, advice_);
    numbers[i] = static_cast<std::int32_t>(value);
  }
}

void MatFile::read_bytes(std::int64_t count, std::uint8_t* bytes) {
  require(stored_type_ == kUint8, "[{}] {} is stored as type {}, expected 2, bytes; {}", path_.string(), name_, stored_type_, advice_);
  source_->read(bytes, static_cast<std::size_t>(count));
}

}  // namespace isda
