// SPDX-License-Identifier: Apache-2.0
// Reads and writes safetensors files: named arrays, and nothing that could be executed.
//
//   8 bytes   n, the length of the header, little-endian; at most 100 MB
//   n bytes   JSON, from '{', padded with spaces: {"NAME": {"dtype": "F32", "shape": [16,3,3,3], "data_offsets": [begin, end]}, ...}
//             and optionally "__metadata__": {string: string, ...}
//   the rest  the elements, row-major, little-endian; offsets count from the end of the header, and the tensors tile it exactly
//
// What breaks these rules is refused with an Error that names the file, the tensor, what was got and expected. Keys of a tensor other
// than these three are passed over, as other readers of the format do.
// Format: https://github.com/huggingface/safetensors
#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/common/view.h"

namespace isda {

using SafetensorsMetadata = std::map<std::string, std::string>;

class Safetensors {
 public:
  struct Entry {
    std::string name;
    std::string dtype;                  // the format's word: "F32", "BOOL", ...; every type of the format is listed, also those we have no view of
    std::vector<std::int64_t> extents;  // any number of them
    std::span<const std::byte> bytes;   // as they stand in the file, of any alignment
  };

  // Checks the whole header; the elements are mapped and come from the disk when they are looked at.
  // NOTE: a file must not be shortened while it is open; one that is written anew by rename, as write_safetensors does, stays what it was.
  static Safetensors open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  // In the order of their bytes; empty ones among themselves by name.
  const std::vector<Entry>& entries() const& { return entries_; }
  void entries() && = delete;  // for (... : Safetensors::open(path).entries()) would look at what is gone
  const SafetensorsMetadata& metadata() const { return metadata_; }
  bool contains(std::string_view name) const { return index_.contains(name); }
  // Throws Error when there is no such tensor.
  const Entry& entry(std::string_view name) const { return entries_[index_of(name)]; }
  // Valid while a copy of this object lives. F16 is seen as f32, which holds each of its values. Throws Error when the type is none of ours or there are more
  // extents than a Shape has.
  ConstView view(std::string_view name) const;

 private:
  std::size_t index_of(std::string_view name) const;

  std::filesystem::path path_;
  std::shared_ptr<const std::byte> file_;
  std::vector<Entry> entries_;
  std::vector<std::shared_ptr<const std::byte>> copies_;  // of f16, as f32, and where the file's bytes are not aligned to their type; else null
  std::map<std::string, std::size_t, std::less<>> index_;
  SafetensorsMetadata metadata_;
};

struct NamedView {
  std::string name;
  ConstView view;
};

// Writes the tensors, the widest types first and then by name, so that each is aligned to its type and the same tensors give the same
// bytes whatever their order. What lies on the card is fetched tensor by tensor. Atomic (core/atomic_file.h): a file that was there stays until the new one is
// complete.
void write_safetensors(const std::filesystem::path& path, std::span<const NamedView> tensors, const SafetensorsMetadata& metadata = {});

}  // namespace isda
