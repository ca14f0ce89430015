// SPDX-License-Identifier: Apache-2.0
#include "datasets/cifar.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <numeric>
#include <sstream>

namespace isda {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t kPixels = 32 * 32;
constexpr std::int64_t kRecordsAtOnce = 256;

// Mean and deviation of the training images as the paper's recipes give them, for both sets (bytes, red green blue).
const std::vector<double> kMean{125.3, 123.0, 113.9};
const std::vector<double> kDeviation{63.0, 62.1, 66.7};

std::string advice(const std::string& dataset, const std::string& archive) {
  return fmt::format(
      "`isda data download {} --data-dir DIR` fetches it; or put {} (the binary version) of https://www.cs.toronto.edu/~kriz/cifar.html there, "
      "unpacked or as it is; without a download, `isda data make-shapes --output DIR` makes the data set 'shapes'",
      dataset, archive);
}

// Planes of one channel each to pixels of three channels.
void interleave(const std::uint8_t* planes, std::uint8_t* pixels) {
  for (std::int64_t pixel = 0; pixel < kPixels; ++pixel) {
    for (std::int64_t c = 0; c < 3; ++c) pixels[pixel * 3 + c] = planes[c * kPixels + pixel];
  }
}

// Checks the labels of a record against their kinds; returns the last.
std::int32_t label_of(const CifarFormat& format, const fs::path& file, std::int64_t record, const std::uint8_t* labels) {
  for (std::size_t i = 0; i < format.label_kinds.size(); ++i) {
    require(labels[i]<format.label_kinds[i], "[{}] {}: record {} has {}label {}, expected 0 to {}; the file is damaged or of another data set: {}",
                      format.dataset, file.string(), record, format.label_kinds.size()> 1
                ? (i == 0 ? "coarse " : "fine ")
                : "",
            labels[i], format.label_kinds[i] - 1, format.advice);
  }
  return labels[format.label_kinds.size() - 1];
}

// The bytes of a file in order, from the disk or from an archive.
class Reader {
 public:
  Reader(const CifarFormat& format, const CifarFile& file) : content_(file.content) {
    if (content_) return;
    stream_.open(file.path, std::ios::binary);
    require(stream_.is_open(), "[{}] {} cannot be opened: {}", format.dataset, file.path.string(), std::strerror(errno));
  }
  bool read(std::uint8_t* to, std::int64_t bytes) {
    if (!content_) return stream_.read(reinterpret_cast<char*>(to), bytes).gcount() == bytes;
    if (position_ + bytes > static_cast<std::int64_t>(content_->size())) return false;
    std::memcpy(to, content_->data() + position_, static_cast<std::size_t>(bytes));
    position_ += bytes;
    return true;
  }

 private:
  const FileContent content_;
  std::int64_t position_ = 0;
  std::ifstream stream_;
};

std::int64_t bytes_of(const CifarFormat& format, const CifarFile& file) {
  if (file.content) return static_cast<std::int64_t>(file.content->size());
  std::error_code error;
  const auto bytes = static_cast<std::int64_t>(fs::file_size(file.path, error));
  require(!error, "[{}] {}: {}; {}", format.dataset, file.path.string(), error.message(), format.advice);
  return bytes;
}

// The number of records in a file, after the check that its size is right.
std::int64_t count_records(const CifarFormat& format, const CifarFile& file) {
  const std::int64_t record_bytes = format.record_bytes();
  const std::int64_t expected = file.records * record_bytes;
  const std::int64_t bytes = bytes_of(format, file);
  if (expected > 0) {
    require(bytes == expected, "[{}] {} has {} bytes, expected exactly {} ({} records of {} bytes): it is {}; {}", format.dataset, file.path.string(), bytes,
            expected, file.records, record_bytes, bytes < expected ? "truncated" : "too long", format.advice);
  }
  require(bytes > 0 && bytes % record_bytes == 0, "[{}] {} has {} bytes, expected a whole number of records of {} bytes, at least one; {}", format.dataset,
          file.path.string(), bytes, record_bytes, format.advice);
  return bytes / record_bytes;
}

// Appends the records of a file to the split.
void read_records(const CifarFormat& format, const CifarFile& file, std::int64_t records, Split& split) {
  Reader reader(format, file);
  const auto begin = static_cast<std::int64_t>(split.pixels.size());
  split.pixels.resize(static_cast<std::size_t>(begin + records * kCifarPixelBytes));
  std::vector<std::uint8_t> buffer(static_cast<std::size_t>(std::min(records, kRecordsAtOnce) * format.record_bytes()));
  for (std::int64_t record = 0; record < records; ++record) {
    const std::int64_t place = record % kRecordsAtOnce;
    if (place == 0) {
      require(reader.read(buffer.data(), std::min(records - record, kRecordsAtOnce) * format.record_bytes()),
              "[{}] {} ended while record {} of {} was read; is it being written, or the disk failing?", format.dataset, file.path.string(), record, records);
    }
    const std::uint8_t* labels = buffer.data() + place * format.record_bytes();
    split.labels.push_back(label_of(format, file.path, record, labels));
    interleave(labels + format.label_kinds.size(), split.pixels.data() + begin + record * kCifarPixelBytes);
  }
}

std::string trimmed(const std::string& line) {
  const auto first = line.find_first_not_of(" \t\r");
  if (first == std::string::npos) return "";
  return line.substr(first, line.find_last_not_of(" \t\r") - first + 1);
}

}  // namespace

void read_cifar_files(const CifarFormat& format, const std::vector<CifarFile>& train, const std::vector<CifarFile>& test, Dataset& dataset) {
  const auto count_all = [&](const std::vector<CifarFile>& files) {
    std::vector<std::int64_t> counts;
    for (const CifarFile& file : files) counts.push_back(count_records(format, file));
    return counts;
  };
  const auto read_all = [&](const std::vector<CifarFile>& files, const std::vector<std::int64_t>& counts, Split& split) {
    const std::int64_t records = std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
    split.pixels.reserve(static_cast<std::size_t>(records * kCifarPixelBytes));
    split.labels.reserve(static_cast<std::size_t>(records));
    for (std::size_t i = 0; i < files.size(); ++i) read_records(format, files[i], counts[i], split);
  };
  const auto train_counts = count_all(train), test_counts = count_all(test);
  read_all(train, train_counts, dataset.train);
  read_all(test, test_counts, dataset.test);
}

CifarFiles::CifarFiles(const CifarFormat& format, const fs::path& directory, const CifarDistribution& distribution) {
  std::error_code ignored;
  const auto& [file, folder, archive] = distribution;
  const bool is_archive = !archive.empty() && directory.filename() == archive && fs::is_regular_file(directory, ignored);
  require(is_archive || fs::is_directory(directory, ignored), "[{}] there is no directory '{}' (--data-dir); {}", format.dataset, directory.string(),
          format.advice);
  for (const fs::path& candidate : {directory, directory / folder}) {
    if (!fs::exists(candidate / file, ignored)) continue;
    folder_ = candidate;
    return;
  }
  folder_ = is_archive ? directory : directory / archive;
  require(is_archive || (!archive.empty() && fs::exists(folder_, ignored)), "[{}] {} holds neither {} nor {}/{}{}; {}", format.dataset, directory.string(),
          file, folder, file, archive.empty() ? "" : " nor " + archive, format.advice);
  archive_ = std::make_shared<Archive>(folder_, format.advice);
  folder_in_archive_ = folder;
  require(archive_->find(folder + "/" + file) != nullptr, "[{}] {} holds no {}/{}: it is the archive of something else; {}", format.dataset, folder_.string(),
          folder, file, format.advice);
}

CifarFile CifarFiles::file(const std::string& name, std::int64_t records) const {
  if (!archive_) return {folder_ / name, records};
  const std::string in_archive = folder_in_archive_ + "/" + name;
  FileContent content = archive_->find(in_archive);
  require(content != nullptr, "[{}] holds no {}", folder_.string(), in_archive);
  return {folder_ / in_archive, records, std::move(content)};
}

std::vector<CifarFile> CifarFiles::cifar10_batches(std::int64_t records) const {
  std::vector<CifarFile> files;
  for (int batch = 1; batch <= 5; ++batch) files.push_back(file(fmt::format("data_batch_{}.bin", batch), records));
  return files;
}

std::vector<std::string> read_class_names(const CifarFormat& format, const CifarFile& file) {
  std::ifstream on_disk;
  std::istringstream in_archive(file.content ? std::string(file.content->begin(), file.content->end()) : "");
  if (!file.content) on_disk.open(file.path);
  require(file.content || on_disk.is_open(), "[{}] {} cannot be opened: {}; {}", format.dataset, file.path.string(), std::strerror(errno), format.advice);
  std::istream& stream = file.content ? static_cast<std::istream&>(in_archive) : on_disk;
  std::vector<std::string> names;
  for (std::string line; std::getline(stream, line);) {
    const std::string name = trimmed(line);
    if (name.empty()) continue;
    require(std::find(names.begin(), names.end(), name) == names.end(), "[{}] {} names the class '{}' twice; {}", format.dataset, file.path.string(), name,
            format.advice);
    names.push_back(name);
  }
  const auto expected = static_cast<std::size_t>(format.label_kinds.back());
  require(names.size() == expected, "[{}] {} names {} classes, expected {}, one a line; {}", format.dataset, file.path.string(), names.size(), expected,
          format.advice);
  return names;
}

std::vector<std::uint8_t> cifar10_records(const Split& split, std::int64_t first, std::int64_t count) {
  std::vector<std::uint8_t> records(static_cast<std::size_t>(count * (1 + kCifarPixelBytes)));
  std::uint8_t* record = records.data();
  for (std::int64_t image = first; image < first + count; ++image, record += 1 + kCifarPixelBytes) {
    record[0] = static_cast<std::uint8_t>(split.labels[static_cast<std::size_t>(image)]);
    const std::uint8_t* pixels = split.pixels.data() + image * kCifarPixelBytes;
    for (std::int64_t pixel = 0; pixel < kPixels; ++pixel) {
      for (std::int64_t c = 0; c < 3; ++c) record[1 + c * kPixels + pixel] = pixels[pixel * 3 + c];
    }
  }
  return records;
}

Dataset load_cifar10(const fs::path& directory) {
  const CifarFormat format{.dataset = "cifar10", .label_kinds = {10}, .advice = advice("cifar10", "cifar-10-binary.tar.gz")};
  const CifarFiles files(format, directory, {.file = "data_batch_1.bin", .folder = "cifar-10-batches-bin", .archive = "cifar-10-binary.tar.gz"});
  const CifarFile meta = files.file("batches.meta.txt");
  Dataset dataset{.name = "cifar10", .class_names = read_class_names(format, meta), .mean = kMean, .deviation = kDeviation};
  const std::vector<std::string> names{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};
  require(dataset.class_names == names, "[cifar10] the classes in {} are {}, expected {}: another data set in the same format, perhaps --dataset shapes?",
          meta.path.string(), fmt::join(dataset.class_names, " "), fmt::join(names, " "));
  read_cifar_files(format, files.cifar10_batches(10000), {files.file("test_batch.bin", 10000)}, dataset);
  return dataset;
}

Dataset load_cifar100(const fs::path& directory) {
  const CifarFormat format{.dataset = "cifar100", .label_kinds = {20, 100}, .advice = advice("cifar100", "cifar-100-binary.tar.gz")};
  const CifarFiles files(format, directory, {.file = "train.bin", .folder = "cifar-100-binary", .archive = "cifar-100-binary.tar.gz"});
  Dataset dataset{.name = "cifar100", .class_names = read_class_names(format, files.file("fine_label_names.txt")), .mean = kMean, .deviation = kDeviation};
  read_cifar_files(format, {files.file("train.bin", 50000)}, {files.file("test.bin", 10000)}, dataset);
  return dataset;
}

}  // namespace isda
