// SPDX-License-Identifier: Apache-2.0
// The CIFAR readers on files of the official sizes (sparse: zeros but for a few records), and on every way they can be wrong.
#include "datasets/cifar.h"

#include <cmath>
#include <cstdlib>

#include "tests/datasets/files.h"

namespace isda {
namespace {

namespace fs = std::filesystem;

// A file of zeros, all of them label 0 and black.
void write_zeros(const fs::path& file, std::uintmax_t bytes) {
  write_text(file, "");
  fs::resize_file(file, bytes);
}

void write_at(const fs::path& file, std::int64_t offset, const std::vector<std::uint8_t>& bytes) {
  std::fstream stream(file, std::ios::binary | std::ios::in | std::ios::out);
  stream.seekp(offset);
  stream.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  require(static_cast<bool>(stream), "[test] {} cannot be written", file.string());
}

class Cifar10 : public testing::Test {
 public:
  Cifar10() { write_all(directory.path()); }

  static void write_all(const fs::path& folder) {
    for (const char* name : {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"}) {
      write_zeros(folder / name, 30730000);
    }
    write_text(folder / "batches.meta.txt", "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
  }

  std::string error() const {
    return message_of([&] { load_dataset("cifar10", directory.path()); });
  }

  TemporaryFolder directory;
};

TEST_F(Cifar10, ReadsPlanarRecordsAsPixels) {
  // Record 9999 of batch 3 is image 29999: label 7, byte (h,w) of plane c at 1 + 1024c + 32h + w.
  const std::int64_t record = 9999 * 3073;
  write_at(directory.path() / "data_batch_3.bin", record, {7});
  write_at(directory.path() / "data_batch_3.bin", record + 1, {11, 12});                  // red of (0,0), (0,1)
  write_at(directory.path() / "data_batch_3.bin", record + 1 + 1024 + 32 * 5 + 9, {13});  // green of (5,9)
  write_at(directory.path() / "data_batch_3.bin", record + 1 + 3071, {14});               // blue of (31,31)
  write_at(directory.path() / "test_batch.bin", 0, {9, 200});

  const Dataset dataset = load_dataset("cifar10", directory.path());
  EXPECT_EQ(dataset.name, "cifar10");
  EXPECT_EQ(dataset.train.size(), 50000);
  EXPECT_EQ(dataset.test.size(), 10000);
  ASSERT_EQ(dataset.train.images().shape(), (Shape{50000, 32, 32, 3}));
  ASSERT_EQ(dataset.test.images().shape(), (Shape{10000, 32, 32, 3}));
  EXPECT_EQ(dataset.classes(), 10);
  EXPECT_EQ(dataset.class_names[1], "automobile");

  EXPECT_EQ(dataset.train.labels[29999], 7);
  const ConstView images = dataset.train.images();
  EXPECT_EQ(images.at(29999, 0, 0, 0), 11);
  EXPECT_EQ(images.at(29999, 0, 1, 0), 12);
  EXPECT_EQ(images.at(29999, 5, 9, 1), 13);
  EXPECT_EQ(images.at(29999, 31, 31, 2), 14);
  EXPECT_EQ(dataset.test.labels[0], 9);
  EXPECT_EQ(dataset.test.images().at(0, 0, 0, 0), 200);

  // The constants are the paper's.
  EXPECT_EQ(dataset.mean, (std::vector<double>{125.3, 123.0, 113.9}));
  EXPECT_EQ(dataset.deviation, (std::vector<double>{63.0, 62.1, 66.7}));

  // Nothing landed anywhere else.
  const auto counts = class_counts(dataset.train, 10);
  EXPECT_EQ(counts[0], 49999);
  EXPECT_EQ(counts[7], 1);
  int lit = 0;
  for (const std::uint8_t byte : dataset.train.pixels) lit += byte != 0;
  EXPECT_EQ(lit, 4);
}

TEST_F(Cifar10, IsFoundInTheFolderOfTheDistribution) {
  TemporaryFolder outer;
  fs::create_directory(outer.path() / "cifar-10-batches-bin");
  write_all(outer.path() / "cifar-10-batches-bin");
  write_text(outer.path() / "cifar-10-batches-bin" / "batches.meta.txt",
             "airplane\r\nautomobile\r\nbird\r\ncat\r\ndeer\r\ndog\r\nfrog\r\nhorse\r\nship\r\ntruck\r\n\r\n");
  const Dataset dataset = load_cifar10(outer.path());
  EXPECT_EQ(dataset.train.size(), 50000);
  EXPECT_EQ(dataset.class_names[9], "truck");  // without the carriage return
}

TEST_F(Cifar10, SaysWhereToGetAMissingDirectory) {
  const std::string message = message_of([&] { load_dataset("cifar10", directory.path() / "nowhere"); });
  EXPECT_PRED2(contains, message, "[cifar10] there is no directory '" + (directory.path() / "nowhere").string() + "'");
  EXPECT_PRED2(contains, message, "`isda data download cifar10 --data-dir DIR`");
  EXPECT_PRED2(contains, message, "cifar-10-binary.tar.gz");
  EXPECT_PRED2(contains, message, "https://www.cs.toronto.edu/~kriz/cifar.html");
  EXPECT_PRED2(contains, message, "isda data make-shapes");
}

TEST_F(Cifar10, SaysWhichFileAnEmptyDirectoryLacks) {
  TemporaryFolder empty;
  const std::string message = message_of([&] { load_dataset("cifar10", empty.path()); });
  EXPECT_PRED2(contains, message, "holds neither data_batch_1.bin nor cifar-10-batches-bin/data_batch_1.bin");
  EXPECT_PRED2(contains, message, "https://www.cs.toronto.edu/~kriz/cifar.html");
}

TEST_F(Cifar10, NamesAMissingBatch) {
  for (const char* name : {"data_batch_4.bin", "test_batch.bin"}) {
    fs::rename(directory.path() / name, directory.path() / "aside");
    const std::string message = error();
    EXPECT_PRED2(contains, message, (directory.path() / name).string() + ": No such file or directory");
    EXPECT_PRED2(contains, message, "cifar-10-binary.tar.gz");
    fs::rename(directory.path() / "aside", directory.path() / name);
  }
}

TEST_F(Cifar10, RefusesATruncatedFile) {
  for (const std::uintmax_t bytes : {std::uintmax_t{0}, std::uintmax_t{12345}, std::uintmax_t{30730000 - 3073}, std::uintmax_t{30729999}}) {
    fs::resize_file(directory.path() / "data_batch_2.bin", bytes);
    EXPECT_PRED2(contains, error(),
                 fmt::format("{} has {} bytes, expected exactly 30730000 (10000 records of 3073 bytes): it is truncated",
                             (directory.path() / "data_batch_2.bin").string(), bytes));
  }
}

TEST_F(Cifar10, RefusesAnOversizedFile) {
  for (const std::uintmax_t bytes : {std::uintmax_t{30730001}, std::uintmax_t{30730000 + 3073}}) {
    fs::resize_file(directory.path() / "test_batch.bin", bytes);
    EXPECT_PRED2(contains, error(), fmt::format("test_batch.bin has {} bytes, expected exactly 30730000 (10000 records of 3073 bytes): it is too long", bytes));
  }
}

TEST_F(Cifar10, NamesTheRecordWithALabelOutOfRange) {
  write_at(directory.path() / "data_batch_1.bin", 0, {9});
  write_at(directory.path() / "data_batch_1.bin", 1234 * 3073, {10});
  const std::string message = error();
  EXPECT_PRED2(contains, message, (directory.path() / "data_batch_1.bin").string() + ": record 1234 has label 10, expected 0 to 9");
}

TEST_F(Cifar10, RefusesADirectoryInPlaceOfAFile) {
  fs::remove(directory.path() / "data_batch_3.bin");
  fs::create_directory(directory.path() / "data_batch_3.bin");
  EXPECT_PRED2(contains, error(), "data_batch_3.bin");
}

TEST_F(Cifar10, RefusesOtherClassNames) {
  fs::remove(directory.path() / "batches.meta.txt");
  EXPECT_PRED2(contains, error(), "batches.meta.txt cannot be opened: No such file or directory");
  write_text(directory.path() / "batches.meta.txt", "airplane\nautomobile\nbird\n");
  EXPECT_PRED2(contains, error(), "batches.meta.txt names 3 classes, expected 10");
  write_text(directory.path() / "batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\na\n");
  EXPECT_PRED2(contains, error(), "batches.meta.txt names the class 'a' twice");
  write_text(directory.path() / "batches.meta.txt", "circle\nb\nc\nd\ne\nf\ng\nh\ni\nj\n");
  EXPECT_PRED2(contains, error(), "are circle b c d e f g h i j, expected airplane automobile bird cat deer dog frog horse ship truck");
}

class Cifar100 : public testing::Test {
 public:
  Cifar100() { write_all(directory.path()); }

  static void write_all(const fs::path& folder) {
    write_zeros(folder / "train.bin", 50000 * 3074);
    write_zeros(folder / "test.bin", 10000 * 3074);
    std::string names;
    for (int i = 0; i < 100; ++i) names += fmt::format("class_{}\n", i);
    write_text(folder / "fine_label_names.txt", names + "\n");
  }

  std::string error() const {
    return message_of([&] { load_dataset("cifar100", directory.path()); });
  }

  TemporaryFolder directory;
};

TEST_F(Cifar100, TakesTheFineLabel) {
  write_at(directory.path() / "train.bin", 49999 * 3074, {19, 99, 11});
  write_at(directory.path() / "train.bin", 49999 * 3074 + 2 + 3071, {14});
  const Dataset dataset = load_dataset("cifar100", directory.path());
  EXPECT_EQ(dataset.name, "cifar100");
  EXPECT_EQ(dataset.classes(), 100);
  EXPECT_EQ(dataset.class_names[99], "class_99");
  EXPECT_EQ(dataset.train.size(), 50000);
  EXPECT_EQ(dataset.test.size(), 10000);
  EXPECT_EQ(dataset.train.labels[49999], 99);
  EXPECT_EQ(dataset.train.images().at(49999, 0, 0, 0), 11);
  EXPECT_EQ(dataset.train.images().at(49999, 31, 31, 2), 14);
  EXPECT_EQ(dataset.mean, (std::vector<double>{125.3, 123.0, 113.9}));
}

TEST_F(Cifar100, IsFoundInTheFolderOfTheDistribution) {
  TemporaryFolder outer;
  fs::create_directory(outer.path() / "cifar-100-binary");
  write_all(outer.path() / "cifar-100-binary");
  EXPECT_EQ(load_cifar100(outer.path()).test.size(), 10000);
}

TEST_F(Cifar100, NamesTheRecordWithALabelOutOfRange) {
  write_at(directory.path() / "train.bin", 7 * 3074, {20, 0});
  EXPECT_PRED2(contains, error(), "train.bin: record 7 has coarse label 20, expected 0 to 19");
  write_at(directory.path() / "train.bin", 7 * 3074, {19, 100});
  EXPECT_PRED2(contains, error(), "train.bin: record 7 has fine label 100, expected 0 to 99");
}

TEST_F(Cifar100, RefusesWrongSizes) {
  fs::resize_file(directory.path() / "test.bin", 30730000);
  EXPECT_PRED2(contains, error(), "test.bin has 30730000 bytes, expected exactly 30740000 (10000 records of 3074 bytes): it is truncated");
  fs::remove(directory.path() / "train.bin");
  EXPECT_PRED2(contains, error(), "holds neither train.bin nor cifar-100-binary/train.bin");
  EXPECT_PRED2(contains, error(), "cifar-100-binary.tar.gz");
}

TEST(CifarRecords, AreWrittenAsTheyAreRead) {
  Split split;
  for (int i = 0; i < 3 * 3072; ++i) split.pixels.push_back(static_cast<std::uint8_t>(i * 7 + i / 3072));
  split.labels = {4, 0, 9};
  TemporaryFolder directory;
  const auto records = cifar10_records(split, 1, 2);
  write_text(directory.path() / "records.bin", std::string(records.begin(), records.end()));
  const CifarFormat format{.dataset = "test", .label_kinds = {10}, .advice = "none"};
  Dataset read;
  const CifarFile file{directory.path() / "records.bin", 0};
  read_cifar_files(format, {file, file}, {{file.path, 2}}, read);
  EXPECT_EQ(read.test.labels, (std::vector<std::int32_t>{0, 9}));
  EXPECT_EQ(read.train.labels, (std::vector<std::int32_t>{0, 9, 0, 9}));
  EXPECT_EQ(read.test.pixels, std::vector<std::uint8_t>(split.pixels.begin() + 3072, split.pixels.end()));
  EXPECT_TRUE(std::equal(read.test.pixels.begin(), read.test.pixels.end(), read.train.pixels.begin() + 2 * 3072));
}

// With ISDA_CIFAR10_DIR=DIR: the measured constants of the real training images are the paper's, within the rounding of a JPEG copy.
TEST(CifarRecords, HaveThePublishedMoments) {
  const char* directory = std::getenv("ISDA_CIFAR10_DIR");
  if (!directory || !*directory) GTEST_SKIP() << "ISDA_CIFAR10_DIR is not set";
  const Dataset dataset = load_dataset("cifar10", directory);
  const auto measured = mean_and_deviation(dataset.train);
  for (std::size_t c = 0; c < 3; ++c) {
    EXPECT_NEAR(measured.mean[c], dataset.mean[c], 0.15);
    EXPECT_NEAR(measured.deviation[c], dataset.deviation[c], 0.7);
  }
}

}  // namespace
}  // namespace isda
