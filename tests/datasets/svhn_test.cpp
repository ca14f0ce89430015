// SPDX-License-Identifier: Apache-2.0
// MATLAB files made here, compressed and not, in every way that numbers may be stored; SVHN in them; and what may be wrong.
#include "datasets/svhn.h"

#include <zlib.h>

#include <cmath>
#include <cstring>

#include "datasets/mat_file.h"
#include "kernels/common/philox.h"
#include "tests/datasets/files.h"

namespace isda {
namespace {

namespace fs = std::filesystem;

enum Type : std::uint32_t { kInt8 = 1, kUint8 = 2, kInt16 = 3, kUint16 = 4, kInt32 = 5, kUint32 = 6, kSingle = 7, kDouble = 9, kMatrix = 14, kCompressed = 15 };

template <class T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

// An element: in 8 bytes where its bytes are few and it may be, else a tag, the bytes, and what fills them up.
std::string element(std::uint32_t type, const std::string& bytes, bool may_be_small = true) {
  const auto size = static_cast<std::uint32_t>(bytes.size());
  if (may_be_small && size >= 1 && size <= 4) return raw<std::uint32_t>({size << 16 | type}) + bytes + std::string(4 - size, '\0');
  return raw<std::uint32_t>({type, size}) + bytes + std::string((8 - size % 8) % 8, '\0');
}

std::string array(const std::string& name, const std::vector<std::int32_t>& extents, Type stored, const std::string& numbers, bool may_be_small = true) {
  return element(kMatrix, element(kUint32, raw<std::uint32_t>({9, 0})) + element(kInt32, raw(extents)) + element(kInt8, name, may_be_small) +
                              element(stored, numbers, may_be_small));
}

std::string compressed(const std::string& bytes) {
  uLongf size = compressBound(bytes.size());
  std::string packed(size, '\0');
  compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  return raw<std::uint32_t>({kCompressed, static_cast<std::uint32_t>(size)}) + packed.substr(0, size);
}

std::string header() { return std::string("MATLAB 5.0 MAT-file").append(105, ' ').append("\0\1IM", 4); }

class Svhn : public testing::Test {
 public:
  // `images` pictures whose byte at (row, column, colour) of image n is a function of these.
  static std::uint8_t byte(int row, int column, int c, int n) { return static_cast<std::uint8_t>(7 * row + 3 * column + 50 * c + 11 * n); }
  static std::string pictures(int images) {
    std::string bytes;
    for (int n = 0; n < images; ++n) {
      for (int c = 0; c < 3; ++c) {
        for (int column = 0; column < 32; ++column) {
          for (int row = 0; row < 32; ++row) bytes += static_cast<char>(byte(row, column, c, n));
        }
      }
    }
    return bytes;
  }
  static std::string x(int images) { return array("X", {32, 32, 3, images}, kUint8, pictures(images)); }
  static std::string y(const std::vector<std::uint8_t>& labels) { return array("y", {static_cast<std::int32_t>(labels.size()), 1}, kUint8, raw(labels)); }

  void write(const std::string& name, const std::string& elements) const { write_text(folder.path() / name, header() + elements); }
  std::string error() const {
    return message_of([&] { load_dataset("svhn", folder.path()); });
  }

  const TemporaryFolder folder;
};

TEST_F(Svhn, IsReadAsItIsPublished) {
  write("train_32x32.mat", compressed(x(5)) + compressed(y({10, 1, 9, 10, 3})));
  write("test_32x32.mat", y({2, 10}) + x(2));  // not compressed, in another order
  const Dataset dataset = load_dataset("svhn", folder.path());
  EXPECT_EQ(dataset.name, "svhn");
  EXPECT_EQ(dataset.class_names[3], "3");
  EXPECT_EQ(dataset.train.labels, (std::vector<std::int32_t>{0, 1, 9, 0, 3}));
  EXPECT_EQ(dataset.test.labels, (std::vector<std::int32_t>{2, 0}));
  for (const Split* split : {&dataset.train, &dataset.test}) {
    ASSERT_EQ(split->images().shape(), (Shape{split->size(), 32, 32, 3}));
    for (int n = 0; n < split->size(); ++n) {
      for (int row = 0; row < 32; ++row) {
        for (int column = 0; column < 32; ++column) {
          for (int c = 0; c < 3; ++c) ASSERT_EQ(split->images().at(n, row, column, c), byte(row, column, c, n)) << n << " " << row << " " << column;
        }
      }
    }
  }
  EXPECT_EQ(dataset.mean, mean_and_deviation(dataset.train).mean);

  EXPECT_PRED2(contains, message_of([&] { load_dataset("svhn_extra", folder.path()); }), "there is no " + (folder.path() / "extra_32x32.mat").string());
  write("extra_32x32.mat", compressed(x(3)) + compressed(y({4, 5, 10})));
  const Dataset extra = load_dataset("svhn_extra", folder.path());
  EXPECT_EQ(extra.train.labels, (std::vector<std::int32_t>{0, 1, 9, 0, 3, 4, 5, 0}));
  EXPECT_EQ(extra.train.images().at(6, 2, 1, 0), byte(2, 1, 0, 1));
  EXPECT_EQ(extra.test.size(), 2);
}

TEST_F(Svhn, LabelsMayBeStoredInAnyType) {
  write("test_32x32.mat", x(1) + y({1}));
  const std::vector<std::string> ways{
      array("y", {3, 1}, kInt8, raw<std::int8_t>({1, 10, 2})),   array("y", {3, 1}, kUint8, raw<std::uint8_t>({1, 10, 2}), false),
      array("y", {3, 1}, kInt16, raw<std::int16_t>({1, 10, 2})), array("y", {1, 3}, kUint16, raw<std::uint16_t>({1, 10, 2})),
      array("y", {3, 1}, kInt32, raw<std::int32_t>({1, 10, 2})), array("y", {3, 1}, kUint32, raw<std::uint32_t>({1, 10, 2})),
      array("y", {3, 1}, kSingle, raw<float>({1, 10, 2})),       array("y", {3, 1}, kDouble, raw<double>({1, 10, 2}))};
  for (std::size_t way = 0; way < ways.size(); ++way) {
    for (const bool is_compressed : {false, true}) {
      // Among other things that such files hold.
      write("train_32x32.mat", array("comment", {1, 2}, kUint16, std::string("a\0b\0", 4)) + array("utf8", {1, 2}, static_cast<Type>(16), "ab") +
                                   (is_compressed ? compressed(ways[way]) : ways[way]) + compressed(x(3)));
      EXPECT_EQ(load_dataset("svhn", folder.path()).train.labels, (std::vector<std::int32_t>{1, 0, 2})) << way;
    }
  }
}

TEST_F(Svhn, SaysWhatIsWrong) {
  EXPECT_PRED2(contains, error(), "[svhn] there is no " + (folder.path() / "train_32x32.mat").string() + " (--data-dir); `isda data download svhn` brings it");
  write("test_32x32.mat", x(1) + y({1}));
  const auto expect = [&](const std::string& elements, const std::string& text) {
    write("train_32x32.mat", elements);
    EXPECT_PRED2(contains, error(), text);
    EXPECT_PRED2(contains, error(), (folder.path() / "train_32x32.mat").string());
  };
  expect("", "holds no X");
  expect(x(2), "holds no y");
  expect(x(2) + y({1, 2, 3}), "holds 2 images and 3 labels");
  expect(x(2) + y({1, 0}), "number 1 of y is 0, expected an integer from 1 to 10");
  expect(x(2) + y({1, 11}), "number 1 of y is 11");
  expect(x(1) + array("y", {1, 1}, kDouble, raw<double>({1.5})), "number 0 of y is 1.5");
  expect(x(1) + array("y", {1, 1}, kDouble, raw<double>({std::nan("")})), "number 0 of y is nan");
  expect(array("X", {32, 32, 1, 1}, kUint8, std::string(1024, 'x')) + y({1}), "X has the extents (32,32,1,1), expected (32,32,3,N)");
  expect(array("X", {32, 32, 3, 2}, kUint8, pictures(1)) + y({1}), "X has 3072 bytes of numbers, expected 6144");
  expect(array("X", {32, 32, 3, 1}, kDouble, std::string(8 * 3072, '\0')) + y({1}), "X is stored as type 9, expected 2, bytes");
  expect(array("X", {32, 32, 3, 1}, static_cast<Type>(77), pictures(1)) + y({1}), "X is stored as type 77");
}

TEST_F(Svhn, DamagedFilesAreRefused) {
  write("test_32x32.mat", x(1) + y({1}));
  for (const std::string& elements : {x(3) + y({1, 2, 3}), compressed(x(3)) + compressed(y({1, 2, 3}))}) {
    const std::string whole = header() + elements;
    for (const std::size_t bytes :
         {std::size_t{0}, std::size_t{100}, std::size_t{128}, std::size_t{131}, std::size_t{150}, std::size_t{200}, whole.size() / 2, whole.size() - 9}) {
      write_text(folder.path() / "train_32x32.mat", whole.substr(0, bytes));
      EXPECT_NE(error(), "") << bytes;
      EXPECT_PRED2(contains, error(), (folder.path() / "train_32x32.mat").string());
    }
    // Any three bytes damaged: an error, or other numbers, but an end.
    for (std::uint64_t trial = 0; trial < 120; ++trial) {
      std::string damaged = whole;
      const auto words = philox(3, RandomStream::test, trial, whole.size());
      for (std::size_t k = 0; k < 3; ++k)
        damaged[uniform_below(words[k], trial % 2 ? 220 : static_cast<std::uint32_t>(whole.size()))] = static_cast<char>(words[3] >> (8 * k));
      write_text(folder.path() / "train_32x32.mat", damaged);
      error();
    }
  }
  write_text(folder.path() / "train_32x32.mat", "\x89HDF\r\n" + std::string(500, '\0'));
  EXPECT_PRED2(contains, error(), "is no MATLAB file of version 5");
}

}  // namespace
}  // namespace isda
