// SPDX-License-Identifier: Apache-2.0
// Arrays of numbers in a MATLAB file of version 5 (-v6, -v7), one after the other, however large.   MathWorks, MAT-File Format, 2023, chapter 1.
//
//   128 bytes   text, then 0x0100 and "IM" where numbers begin with their lowest byte
//   elements    a tag of 8 bytes (type, bytes) and the bytes, filled up to a multiple of 8; where bytes is at most 4, all in 8: (type, bytes) in 16 bits each.
//               a compressed one (15) is a zlib stream of another; an array (14) is elements: flags, extents, name, numbers
// Numbers of an array are column-major: the first extent varies fastest. They may be stored in a smaller type than the array's class.
// NOTE: our own reader of these, not libmatio, which would bring HDF5 for files of version 7.3, in which no data set here comes.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace isda {

class MatFile {
 public:
  // advice: ends the messages.
  MatFile(const std::filesystem::path& file, std::string advice);
  ~MatFile();
  MatFile(const MatFile&) = delete;
  MatFile& operator=(const MatFile&) = delete;

  // Goes on to the next array; false behind the last. Throws Error that names the file for what is damaged or truncated.
  bool next();
  const std::string& name() const { return name_; }
  const std::vector<std::int64_t>& extents() const { return extents_; }
  std::int64_t count() const;  // numbers in the array

  // The next `count` numbers of the array, each within [lowest, highest]; throws Error for one that is not, or no integer.
  void read(std::int64_t count, std::int64_t lowest, std::int64_t highest, std::int32_t* numbers);
  // Likewise, of an array that is stored as bytes.
  void read_bytes(std::int64_t count, std::uint8_t* bytes);

 private:
  class Source;
  struct Tag {
    std::uint32_t type = 0, bytes = 0;
    bool is_small = false;
  };

  Tag read_tag();
  void skip_filling(const Tag& tag);
  std::vector<std::int32_t> read_small_array(std::uint32_t type, const char* what);
  void read_header_of_array();

  std::filesystem::path path_;
  std::string advice_;
  std::unique_ptr<Source> source_;
  std::string name_;
  std::vector<std::int64_t> extents_;
  std::uint32_t stored_type_ = 0;
};

}  // namespace isda
