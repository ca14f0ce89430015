// SPDX-License-Identifier: Apache-2.0
// A file that appears whole or not at all: what stood there before stays until the new content is safe on the disk.
//
// The content goes to NAME.tmp in the same folder; commit() makes it durable (fsync), renames it to NAME and makes the rename durable.
// Without commit() - an exception, a kill - NAME is untouched. A NAME.tmp that a killed process left behind is written over by the next
// one; two processes that write the same file at once cannot: the second gets an Error.
#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

namespace isda {

class AtomicFile {
 public:
  // bytes: how many are going to be written, for the message when the disk is full; 0 = not known.
  explicit AtomicFile(const std::filesystem::path& path, std::size_t bytes = 0);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> content);
  void write(std::string_view content) { write(std::as_bytes(std::span(content))); }
  void commit();

 private:
  [[noreturn]] void fail_with(int error, const char* what);

  std::filesystem::path path_, temporary_;
  std::size_t bytes_wanted_;
  std::size_t bytes_written_ = 0;
  int descriptor_ = -1;
};

void write_atomically(const std::filesystem::path& path, std::string_view content);

}  // namespace isda
