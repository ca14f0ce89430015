// SPDX-License-Identifier: Apache-2.0
// Archives made here, header by header, and every way one can be damaged on its way.
#include "datasets/archive.h"

#include <zlib.h>

#include "datasets/cifar.h"
#include "kernels/common/philox.h"
#include "tests/datasets/files.h"

namespace isda {
namespace {

namespace fs = std::filesystem;

void put(std::string& block, std::size_t at, const std::string& text) { block.replace(at, text.size(), text); }

// A header and the bytes of a file, in whole blocks.
std::string entry(const std::string& name, const std::string& content, char type = '0', const std::string& prefix = "") {
  std::string header(512, '\0');
  put(header, 0, name);
  put(header, 100, "0000644");
  put(header, 124, fmt::format("{:011o}", content.size()));
  put(header, 148, "        ");
  header[156] = type;
  put(header, 257, "ustar");
  put(header, 345, prefix);
  int sum = 0;
  for (const char byte : header) sum += static_cast<unsigned char>(byte);
  put(header, 148, fmt::format("{:06o}", sum) + '\0');
  return header + content + std::string((512 - content.size() % 512) % 512, '\0');
}

const std::string kEnd(1024, '\0');

void write_gzip(const fs::path& file, const std::string& bytes) {
  const gzFile stream = gzopen(file.c_str(), "wb1");
  for (std::size_t done = 0; done < bytes.size(); done += 1 << 20) {
    const auto count = static_cast<unsigned>(std::min<std::size_t>(bytes.size() - done, 1 << 20));
    require(gzwrite(stream, bytes.data() + done, count) == static_cast<int>(count), "[test] {} cannot be written", file.string());
  }
  require(gzclose(stream) == Z_OK, "[test] {} cannot be written", file.string());
}

std::string text_of(const FileContent& content) { return content ? std::string(content->begin(), content->end()) : "nothing"; }

class ArchiveFile : public testing::Test {
 public:
  std::string error() const {
    return message_of([&] { Archive(file, "get another"); });
  }

  const TemporaryFolder folder;
  const fs::path file = folder.path() / "some.tar.gz";
  const std::string noise = [] {
    std::string bytes;
    for (std::uint64_t i = 0; i < 5000; ++i) bytes += static_cast<char>(philox(1, RandomStream::test, 0, i)[0]);
    return bytes;
  }();
};

TEST_F(ArchiveFile, HoldsItsFiles) {
  write_gzip(file, entry("a/", "", '5') + entry("a/noise", noise) + entry("a/block", std::string(512, 'x')) + entry("a/empty", "") +
                       entry("long", "deep", '\0', "b/c") + entry("a/link", "", '2') + entry("pax", "30 mtime=1\n", 'x') + kEnd);
  const Archive archive(file, "");
  EXPECT_EQ(text_of(archive.find("a/noise")), noise);
  EXPECT_EQ(text_of(archive.find("a/block")), std::string(512, 'x'));
  EXPECT_EQ(text_of(archive.find("a/empty")), "");
  EXPECT_EQ(text_of(archive.find("b/c/long")), "deep");
  for (const char* name : {"a/", "a/link", "pax", "noise"}) EXPECT_EQ(archive.find(name), nullptr) << name;
}

TEST_F(ArchiveFile, MayBeCompressedInParts) {
  const std::string bytes = entry("noise", noise) + kEnd;
  write_gzip(file, bytes.substr(0, 3000));
  write_gzip(folder.path() / "second", bytes.substr(3000));
  write_text(file, read_text(file) + read_text(folder.path() / "second"));
  EXPECT_EQ(text_of(Archive(file, "").find("noise")), noise);
}

TEST_F(ArchiveFile, TruncatedAnywhereIsAnError) {
  write_gzip(file, entry("noise", noise) + entry("zeros", std::string(5000, '\0')) + kEnd);
  const std::string whole = read_text(file);
  EXPECT_EQ(error(), "");
  for (const std::size_t bytes : {std::size_t{11}, std::size_t{600}, whole.size() / 2, whole.size() - 20, whole.size() - 8, whole.size() - 1}) {
    write_text(file, whole.substr(0, bytes));
    EXPECT_PRED2(contains, error(), fmt::format("[{}] ", file.string())) << bytes;
    EXPECT_PRED2(contains, error(), "truncated") << bytes;
    EXPECT_PRED2(contains, error(), "get another") << bytes;
  }
  write_text(file, "");
  EXPECT_PRED2(contains, error(), "truncated");
  // A tar that was cut before it was compressed.
  write_gzip(file, entry("noise", noise).substr(0, 4000));
  EXPECT_PRED2(contains, error(), "truncated");
}

TEST_F(ArchiveFile, DamagedIsAnError) {
  write_gzip(file, entry("noise", noise) + kEnd);
  const std::string whole = read_text(file);
  for (const std::size_t at : {std::size_t{300}, whole.size() / 2, whole.size() - 7}) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x20);
    write_text(file, damaged);
    EXPECT_PRED2(contains, error(), "damaged") << at;
  }
  std::string header = entry("noise", noise) + kEnd;
  header[3] = 'X';
  write_gzip(file, header);
  EXPECT_PRED2(contains, error(), "a header's checksum is wrong; get another");
  write_gzip(file, entry("big", "").replace(124, 11, "77777777777") + kEnd);
  EXPECT_PRED2(contains, error(), "checksum is wrong");
}

TEST_F(ArchiveFile, OfAnotherKindIsAnError) {
  write_text(file, "<!DOCTYPE html><html>404 Not Found</html>");
  EXPECT_PRED2(contains, error(), "is no .tar.gz: it is not compressed by gzip; get another");
  write_gzip(file, std::string(2000, 'a'));
  EXPECT_PRED2(contains, error(), "is no .tar.gz, or damaged");
  fs::remove(file);
  EXPECT_PRED2(contains, error(), "cannot be opened: No such file or directory");
}

class CifarArchive : public testing::Test {
 public:
  // Official sizes; everything is zero but the first record of batch 2. The files in an order of their own, as in the real one.
  static std::string files(std::int64_t bytes_of_batch_5 = 30730000) {
    const std::string folder = "cifar-10-batches-bin/", zeros(30730000, '\0');
    std::string second = zeros;
    second.replace(0, 3, "\x07\x0b\x0c");
    std::string tar = entry(folder, "", '5') + entry(folder + "data_batch_1.bin", zeros) + entry(folder + "batches.meta.txt", kNames);
    for (const char* name : {"data_batch_3.bin", "data_batch_4.bin", "test_batch.bin"}) tar += entry(folder + name, zeros);
    return tar + entry(folder + "readme.html", "<html>") + entry(folder + "data_batch_5.bin", zeros.substr(0, static_cast<std::size_t>(bytes_of_batch_5))) +
           entry(folder + "data_batch_2.bin", second) + kEnd;
  }
  static constexpr const char* kNames = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

  std::string error() const {
    return message_of([&] { load_dataset("cifar10", folder.path()); });
  }

  const TemporaryFolder folder;
  const fs::path file = folder.path() / "cifar-10-binary.tar.gz";
};

TEST_F(CifarArchive, IsReadAsItWasDownloaded) {
  write_gzip(file, files());
  const Dataset dataset = load_dataset("cifar10", folder.path());
  ASSERT_EQ(dataset.train.images().shape(), (Shape{50000, 32, 32, 3}));
  ASSERT_EQ(dataset.test.size(), 10000);
  EXPECT_EQ(dataset.class_names[9], "truck");
  EXPECT_EQ(dataset.train.labels[10000], 7);
  EXPECT_EQ(dataset.train.images().at(10000, 0, 0, 0), 11);
  EXPECT_EQ(dataset.train.images().at(10000, 0, 1, 0), 12);
  EXPECT_EQ(class_counts(dataset.train, 10)[0], 49999);
}

TEST_F(CifarArchive, MayBeNamedItself) {
  write_gzip(file, entry("cifar-10-batches-bin/data_batch_1.bin", "first") + entry("cifar-10-batches-bin/other", "second") + kEnd);
  const CifarFormat format{.dataset = "cifar10", .label_kinds = {10}, .advice = "none"};
  for (const fs::path& given : {folder.path(), file}) {
    const CifarFiles found(format, given, {.file = "data_batch_1.bin", .folder = "cifar-10-batches-bin", .archive = "cifar-10-binary.tar.gz"});
    EXPECT_EQ(text_of(found.file("other").content), "second");
    EXPECT_EQ(found.file("other").path, file / "cifar-10-batches-bin/other");
  }
}

TEST_F(CifarArchive, SaysWhatIsWrong) {
  EXPECT_PRED2(contains, error(), "holds neither data_batch_1.bin nor cifar-10-batches-bin/data_batch_1.bin nor cifar-10-binary.tar.gz");
  write_gzip(file, entry("cifar-100-binary/train.bin", "x") + kEnd);
  EXPECT_PRED2(contains, error(),
               file.string() + " holds no cifar-10-batches-bin/data_batch_1.bin: it is the archive of something else; `isda data download cifar10");
  write_gzip(file, entry("cifar-10-batches-bin/data_batch_1.bin", "x") + kEnd);
  EXPECT_PRED2(contains, error(), "[" + file.string() + "] holds no cifar-10-batches-bin/batches.meta.txt");
  write_gzip(file, files(30730000 - 3073));
  EXPECT_PRED2(contains, error(), "data_batch_5.bin has 30726927 bytes, expected exactly 30730000 (10000 records of 3073 bytes): it is truncated");
  fs::resize_file(file, fs::file_size(file) / 2);
  EXPECT_PRED2(contains, error(), "[" + file.string() + "] ends after");
  EXPECT_PRED2(contains, error(), "it is truncated; `isda data download cifar10 --data-dir DIR` fetches it");
}

}  // namespace
}  // namespace isda
