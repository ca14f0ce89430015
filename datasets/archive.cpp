// SPDX-License-Identifier: Apache-2.0
#include "datasets/archive.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "kernels/common/error.h"

namespace isda {

namespace {

constexpr std::size_t kBlock = 512;
// NOTE: of one file. CIFAR's are 154 MB at most; a damaged header may say anything.
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 30;

using Block = std::array<char, kBlock>;

class Gunzip {
 public:
  Gunzip(const std::filesystem::path& path, const std::string& advice) : path_(path), advice_(advice), file_(gzopen(path.c_str(), "rb")) {
    require(file_ != nullptr, "[{}] cannot be opened: {}", path.string(), std::strerror(errno));
    gzbuffer(file_, 1 << 17);
  }
  ~Gunzip() { gzclose(file_); }
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;

  void read(void* to, std::size_t bytes) {
    auto* begin = static_cast<char*>(to);
    for (std::size_t done = 0; done < bytes;) {
      const int got = gzread(file_, begin + done, static_cast<unsigned>(std::min(bytes - done, std::size_t{1} << 24)));
      int code = Z_OK;
      const char* reason = gzerror(file_, &code);
      require(code == Z_OK || code == Z_BUF_ERROR, "[{}] is damaged ({}); {}", path_.string(), code == Z_ERRNO ? std::strerror(errno) : reason, advice_);
      require(got > 0, "[{}] ends after {} bytes in the middle of a file: it is truncated; {}", path_.string(), std::filesystem::file_size(path_), advice_);
      // NOTE: zlib passes on as they are the bytes of a file that is none of its own.
      require(!gzdirect(file_), "[{}] is no .tar.gz: it is not compressed by gzip; {}", path_.string(), advice_);
      done += static_cast<std::size_t>(got);
    }
  }

  void skip(std::size_t bytes) {
    Block ignored;
    for (; bytes > 0; bytes -= std::min(bytes, kBlock)) read(ignored.data(), std::min(bytes, kBlock));
  }

  // To the end, where the checksum is.
  void finish() {
    Block ignored;
    int got = 0;
    while ((got = gzread(file_, ignored.data(), kBlock)) > 0) continue;
    int code = Z_OK;
    const char* reason = gzerror(file_, &code);
    require(got == 0 && code == Z_OK, "[{}] is {} ({}); {}", path_.string(), code == Z_BUF_ERROR ? "truncated" : "damaged", reason, advice_);
  }

 private:
  const std::filesystem::path& path_;
  const std::string& advice_;
  gzFile file_;
};

std::string text(const Block& header, std::size_t begin, std::size_t length) {
  const std::string_view field(header.data() + begin, length);
  return std::string(field.substr(0, field.find('\0')));
}

// An octal number that blanks may stand around; -1 where there is none.
std::int64_t octal(const Block& header, std::size_t begin, std::size_t length) {
  std::int64_t value = -1;
  for (const char digit : text(header, begin, length)) {
    if (digit == ' ') continue;
    if (digit < '0' || digit > '7') return -1;
    value = std::max<std::int64_t>(value, 0) * 8 + (digit - '0');
  }
  return value;
}

std::int64_t checksum(const Block& header) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < kBlock; ++i) sum += i >= 148 && i < 156 ? ' ' : static_cast<unsigned char>(header[i]);
  return sum;
}

}  // namespace

Archive::Archive(const std::filesystem::path& file, const std::string& advice) {
  Gunzip stream(file, advice);
  for (;;) {
    Block header;
    stream.read(header.data(), kBlock);
    if (std::all_of(header.begin(), header.end(), [](char byte) { return byte == 0; })) break;
    const std::int64_t size = octal(header, 124, 12);
    require(octal(header, 148, 8) == checksum(header) && size >= 0, "[{}] is no .tar.gz, or damaged: a header's checksum is wrong; {}", file.string(), advice);
    const auto bytes = static_cast<std::size_t>(size);
    const bool is_file = header[156] == '0' || header[156] == '\0';
    if (is_file) {
      const std::string folder = text(header, 345, 155), name = (folder.empty() ? "" : folder + "/") + text(header, 0, 100);
      require(bytes <= kMostBytes, "[{}] {} in it has {} bytes, at most {} are read; {}", file.string(), name, bytes, kMostBytes, advice);
      auto content = std::make_shared<std::vector<std::uint8_t>>(bytes);
      stream.read(content->data(), bytes);
      files_[name] = std::move(content);
    } else {
      stream.skip(bytes);
    }
    stream.skip((kBlock - bytes % kBlock) % kBlock);
  }
  stream.finish();
}

FileContent Archive::find(const std::string& name) const {
  const auto found = files_.find(name);
  return found == files_.end() ? nullptr : found->second;
}

}  // namespace isda
