// SPDX-License-Identifier: Apache-2.0
// CIFAR-10 and CIFAR-100 in their binary distribution format.   Krizhevsky, Learning Multiple Layers of Features, 2009.
//
// A file is a row of records and nothing else. A record is its labels, a byte each, then 1024 red, 1024 green and 1024 blue
// bytes of a 32x32 image, row by row:
//   CIFAR-10    data_batch_1.bin .. data_batch_5.bin, test_batch.bin   10000 records each of 1 + 3072 bytes (label)
//   CIFAR-100   train.bin (50000), test.bin (10000)                    records of 2 + 3072 bytes (coarse label, fine label)
// The names of the classes stand one a line in batches.meta.txt and fine_label_names.txt.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "datasets/archive.h"
#include "datasets/dataset.h"

namespace isda {

// The files may stand in the directory itself, in the sub-folder the distribution unpacks to, or in its archive as it is downloaded.
Dataset load_cifar10(const std::filesystem::path& directory);
Dataset load_cifar100(const std::filesystem::path& directory);

inline constexpr std::int64_t kCifarPixelBytes = 3 * 32 * 32;

// The layout of a record, for data sets that share it.
struct CifarFormat {
  std::string dataset;           // begins the messages
  std::vector<int> label_kinds;  // how many values each label byte can take; the last is the label
  std::string advice;            // ends the messages: where good files come from

  std::int64_t record_bytes() const { return static_cast<std::int64_t>(label_kinds.size()) + kCifarPixelBytes; }
};

// records: how many there must be; 0 = any whole number, at least one. content: the bytes of a file in an archive; null: they are on the disk.
struct CifarFile {
  std::filesystem::path path;
  std::int64_t records = 0;
  FileContent content = nullptr;
};

// How a data set is distributed: a file by which its folder is known, the folder it unpacks to, and the archive it comes in, empty where it comes in none.
struct CifarDistribution {
  std::string file, folder, archive;
};

// Where the files of a distribution are.
class CifarFiles {
 public:
  // Looks for `distribution.file` in `directory`, then in its sub-folder, then for the archive, which `directory` itself may also be. Throws when there is
  // none.
  CifarFiles(const CifarFormat& format, const std::filesystem::path& directory, const CifarDistribution& distribution);
  CifarFile file(const std::string& name, std::int64_t records = 0) const;
  // data_batch_1.bin .. data_batch_5.bin
  std::vector<CifarFile> cifar10_batches(std::int64_t records) const;

 private:
  std::filesystem::path folder_;
  std::string folder_in_archive_;
  std::shared_ptr<const Archive> archive_;
};

// Fills both splits from their files, in order. The sizes of all files are checked before the first is read.
void read_cifar_files(const CifarFormat& format, const std::vector<CifarFile>& train, const std::vector<CifarFile>& test, Dataset& dataset);

// The lines of a file of class names; throws unless there are as many as label values, all different.
std::vector<std::string> read_class_names(const CifarFormat& format, const CifarFile& file);

// The records of a split in the CIFAR-10 format: the bytes of a file. From `first`, `count` of them.
std::vector<std::uint8_t> cifar10_records(const Split& split, std::int64_t first, std::int64_t count);

}  // namespace isda
