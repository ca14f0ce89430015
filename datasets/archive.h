// SPDX-License-Identifier: Apache-2.0
// The files in a .tar.gz as it was downloaded, in memory.   gzip: RFC 1952, unpacked and its checksum compared by zlib. tar: POSIX.1-1988 (ustar).
//
// A tar is blocks of 512 bytes: a header, then the file's bytes, filled up with zeros; two blocks of zeros end it. Of a header are read
//   name 0..99    size 124..135, octal    checksum 148..155, octal: of all bytes, its own as blanks    type 156: '0' or 0 is a file    prefix 345..499
// NOTE: our own reader of these five fields, not libarchive, which would bring seven libraries for formats that no data set here comes in; zlib is needed
// anyway.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace isda {

using FileContent = std::shared_ptr<const std::vector<std::uint8_t>>;

class Archive {
 public:
  // Throws Error that names the archive for what is truncated, damaged or no .tar.gz at all; `advice` ends the message.
  Archive(const std::filesystem::path& file, const std::string& advice);

  // The bytes of a file, by its name with its folders; null where there is none.
  FileContent find(const std::string& name) const;

 private:
  std::map<std::string, FileContent> files_;
};

}  // namespace isda
