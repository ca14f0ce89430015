// SPDX-License-Identifier: Apache-2.0
// Round trips, every refusal of the reader by a crafted file, and a reader that survives any byte of a file being wrong.
#include "core/safetensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <set>

#include "tests/core/temporary_folder.h"

namespace isda {
namespace {

class SafetensorsTest : public testing::Test {
 protected:
  // A file of this header and `data_bytes` bytes 0, 1, 2, ...
  std::filesystem::path craft(const std::string& header, std::size_t data_bytes) {
    std::string data;
    for (std::size_t i = 0; i < data_bytes; ++i) data += static_cast<char>(i);
    return craft_raw(length_of(header.size()) + header + data);
  }

  std::filesystem::path craft_raw(const std::string& bytes) {
    const auto path = folder_.path() / "crafted.safetensors";
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  static std::string length_of(std::uint64_t bytes) {
    std::string result(8, '\0');
    std::memcpy(result.data(), &bytes, 8);
    return result;
  }

  // The message of the Error that opening the file throws.
  static std::string refusal(const std::filesystem::path& path) {
    try {
      Safetensors::open(path);
    } catch (const Error& error) {
      return error.what();
    }
    return "opened";
  }

  // Expects a message that names the file and holds each of `parts`.
  static void expect_refused(const std::filesystem::path& path, const std::vector<std::string>& parts) {
    const std::string message = refusal(path);
    EXPECT_NE(message.find(path.string()), std::string::npos) << message;
    for (const auto& part : parts) EXPECT_NE(message.find(part), std::string::npos) << "'" << part << "' is not in: " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }

  TemporaryFolder folder_;
  std::filesystem::path file_ = folder_.path() / "written.safetensors";
};

std::string content_of(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

// ---- round trips ----

TEST_F(SafetensorsTest, ReadsWhatItWrote) {
  const std::array<float, 6> weight{1, -0.0f, std::numeric_limits<float>::infinity(), 3, std::numeric_limits<float>::denorm_min(), 5};
  const std::array<double, 1> ratio{0.1};
  const std::array<std::uint8_t, 3> image{0, 128, 255};
  const std::array<std::int32_t, 2> small{-1, std::numeric_limits<std::int32_t>::min()};
  const std::array<std::int64_t, 2> large{std::numeric_limits<std::int64_t>::min(), 7};
  const std::array<bf16, 2> half{bf16(1.5f), bf16(-2.0f)};
  const std::string odd_name = "schöne \"Größe\"\n\t\\ \x01 \xF0\x9F\x98\x80";
  const std::vector<NamedView> tensors{{"weight", {weight.data(), DType::f32, {2, 3}}},
                                       {"ratio", {ratio.data(), DType::f64, {}}},
                                       {"image", {image.data(), DType::u8, {1, 3, 1}}},
                                       {odd_name, {small.data(), DType::i32, {2}}},
                                       {"large", {large.data(), DType::i64, {2}}},
                                       {"half", {half.data(), DType::bf16, {1, 1, 1, 1, 2}}},
                                       {"", {nullptr, DType::f32, {0, 4}}}};
  const SafetensorsMetadata metadata{{"format", "pt"}, {"größe", "a \"b\"\n"}};
  write_safetensors(file_, tensors, metadata);

  const Safetensors file = Safetensors::open(file_);
  EXPECT_EQ(file.metadata(), metadata);
  ASSERT_EQ(file.entries().size(), tensors.size());
  for (const auto& [name, expected] : tensors) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(file.contains(name));
    const ConstView got = file.view(name);
    EXPECT_TRUE(static_cast<bool>(got));
    EXPECT_EQ(got.type(), expected.type());
    EXPECT_EQ(got.shape(), expected.shape());
    const auto bytes = static_cast<std::size_t>(expected.bytes());
    EXPECT_TRUE(bytes == 0 || std::memcmp(got.data(), expected.data(), bytes) == 0);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(got.data()) % size_of(got.type()), 0u);
  }
  EXPECT_FALSE(file.contains("Weight"));
}

// NOTE: header and order are those that the Python package safetensors 0.8.0 writes for the same tensors.
TEST_F(SafetensorsTest, WritesTheBytesOfTheOriginalImplementation) {
  const std::array<float, 2> b{1, 2};
  const std::array<float, 1> a{3};
  const std::array<std::int64_t, 1> label{4};
  const std::array<std::uint8_t, 3> pixel{5, 6, 7};
  write_safetensors(file_,
                    std::vector<NamedView>{{"pixel", {pixel.data(), DType::u8, {3}}},
                                           {"b", {b.data(), DType::f32, {2, 1}}},
                                           {"a", {a.data(), DType::f32, {}}},
                                           {"label", {label.data(), DType::i64, {1}}}},
                    {{"format", "np"}});
  const std::string header = R"({"__metadata__":{"format":"np"},"label":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},)"
                             R"("a":{"dtype":"F32","shape":[],"data_offsets":[8,12]},"b":{"dtype":"F32","shape":[2,1],"data_offsets":[12,20]},)"
                             R"("pixel":{"dtype":"U8","shape":[3],"data_offsets":[20,23]}})";
  const std::string padded = header + std::string((8 - header.size() % 8) % 8, ' ');
  const std::string data{
      "\4\0\0\0\0\0\0\0"
      "\0\0\x40\x40"
      "\0\0\x80\x3f"
      "\0\0\0\x40"
      "\5\6\7",
      23};
  EXPECT_EQ(content_of(file_), length_of(padded.size()) + padded + data);
}

TEST_F(SafetensorsTest, TheOrderGivenDoesNotMatter) {
  const std::array<float, 2> x{1, 2};
  const std::array<double, 1> y{3};
  const NamedView a{"a", {x.data(), DType::f32, {2}}}, b{"b", {x.data(), DType::f32, {1}}}, c{"c", {y.data(), DType::f64, {1}}};
  write_safetensors(file_, std::vector{a, b, c});
  const std::string first = content_of(file_);
  write_safetensors(file_, std::vector{b, c, a});
  EXPECT_EQ(content_of(file_), first);
  std::vector<std::string> order;
  const auto file = Safetensors::open(file_);
  for (const auto& listed : file.entries()) order.push_back(listed.name);
  EXPECT_EQ(order, (std::vector<std::string>{"c", "a", "b"}));
}

TEST_F(SafetensorsTest, NoTensorsIsAFileToo) {
  write_safetensors(file_, {});
  EXPECT_EQ(content_of(file_), length_of(8) + "{}      ");
  const auto written = Safetensors::open(file_), crafted = Safetensors::open(craft("{}", 0));
  EXPECT_TRUE(written.entries().empty());
  EXPECT_TRUE(crafted.entries().empty());
}

TEST_F(SafetensorsTest, EntriesOutliveTheMoveAndTheFile) {
  const std::array<float, 2> x{1, 2};
  write_safetensors(file_, std::vector<NamedView>{{"x", {x.data(), DType::f32, {2}}}});
  Safetensors opened = Safetensors::open(file_);
  const ConstView view = opened.view("x");
  const Safetensors moved = std::move(opened);
  write_safetensors(file_, {});
  std::filesystem::remove(file_);
  EXPECT_EQ(view.at(1), 2);
  EXPECT_EQ(moved.view("x").at(0), 1);
}

// ---- what the format allows ----

TEST_F(SafetensorsTest, ListsEveryTypeOfTheFormat) {
  const std::vector<std::pair<std::string, int>> types{{"BOOL", 8},        {"U8", 8},          {"I8", 8},      {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8},
                                                       {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
                                                       {"I32", 32},        {"U32", 32},        {"F32", 32},    {"F64", 64},    {"I64", 64},    {"U64", 64},
                                                       {"C64", 64},        {"F4", 4},          {"F6_E2M3", 6}, {"F6_E3M2", 6}};
  for (const auto& [dtype, bits] : types) {
    SCOPED_TRACE(dtype);
    const std::size_t bytes = static_cast<std::size_t>(bits);  // of eight elements
    const auto file = Safetensors::open(craft(R"({"x":)" + entry(dtype, "[8]", "[0," + std::to_string(bytes) + "]") + "}", bytes));
    EXPECT_EQ(file.entry("x").dtype, dtype);
    EXPECT_EQ(file.entry("x").extents, std::vector<std::int64_t>{8});
    ASSERT_EQ(file.entry("x").bytes.size(), bytes);
    EXPECT_EQ(file.entry("x").bytes[3], std::byte{3});
    const bool is_ours = std::set<std::string>{"F32", "F16", "BF16", "F64", "U8", "I32", "I64"}.contains(dtype);
    if (is_ours) {
      EXPECT_EQ(file.view("x").size(), 8);
    } else {
      try {
        file.view("x");
        ADD_FAILURE() << "viewed";
      } catch (const Error& error) {
        const std::string message = error.what();
        EXPECT_NE(message.find("crafted.safetensors: tensor \"x\" is " + dtype), std::string::npos) << message;
      }
    }
  }
}

// Every f16 there is: fraction times a power of two, with a bit before the point but for the smallest.
TEST_F(SafetensorsTest, ViewsHalvesAsFloats) {
  constexpr int kCount = 1 << 16;
  const std::string header = R"({"x":)" + entry("F16", "[65536]", "[0,131072]") + "}";
  std::string halves;
  for (int bits = 0; bits < kCount; ++bits) halves += {static_cast<char>(bits & 255), static_cast<char>(bits >> 8)};
  const auto file = Safetensors::open(craft_raw(length_of(header.size()) + header + halves));
  const ConstView x = file.view("x");
  ASSERT_EQ(x.type(), DType::f32);
  for (int bits = 0; bits < kCount; ++bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const double got = x.at(bits);
    ASSERT_EQ(std::signbit(got), bits >> 15 == 1) << bits;
    if (exponent == 31 && fraction != 0)
      ASSERT_TRUE(std::isnan(got)) << bits;
    else
      ASSERT_EQ(std::abs(got), exponent == 31 ? HUGE_VAL : std::ldexp(fraction + (exponent > 0 ? 1024 : 0), std::max(exponent, 1) - 25)) << bits;
  }
}

TEST_F(SafetensorsTest, AcceptsPaddingWhitespaceAndKeysOfOthers) {
  const auto file = Safetensors::open(craft("{ \"x\" : {\"shape\":[2],\n\"strides\":[[1]],\"data_offsets\":[0,2],\"dtype\":\"U8\"} }   ", 2));
  EXPECT_EQ(file.view("x").at(1), 1);
}

TEST_F(SafetensorsTest, ReadsTensorsInAnyOrderOfTheHeader) {
  const auto file = Safetensors::open(craft(
      R"({"late":)" + entry("U8", "[2]", "[4,6]") + R"(,"nothing":)" + entry("F32", "[3,0]", "[4,4]") + R"(,"early":)" + entry("U8", "[4]", "[0,4]") + "}", 6));
  EXPECT_EQ(file.entries()[0].name, "early");
  EXPECT_EQ(file.entries()[1].name, "nothing");
  EXPECT_EQ(file.entries()[2].name, "late");
  EXPECT_EQ(file.view("late").at(0), 4);
  EXPECT_EQ(file.view("nothing").shape(), (Shape{3, 0}));
}

TEST_F(SafetensorsTest, AlignsWhatTheFileDoesNot) {
  for (std::size_t padding = 0; padding < 8; ++padding) {
    const std::string header = R"({"odd":)" + entry("U8", "[1]", "[0,1]") + R"(,"x":)" + entry("I64", "[2]", "[1,17]") + "}" + std::string(padding, ' ');
    const auto file = Safetensors::open(craft(header, 17));
    const ConstView x = file.view("x");
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(x.data()) % 8, 0u);
    EXPECT_EQ(x.as<std::int64_t>()[0], 0x0807060504030201);
    EXPECT_EQ(x.as<std::int64_t>()[1], 0x100f0e0d0c0b0a09);
    EXPECT_EQ(file.entry("x").bytes[0], std::byte{1});
  }
}

TEST_F(SafetensorsTest, MoreExtentsThanAShapeHasCanBeListed) {
  const auto file = Safetensors::open(craft(R"({"x":)" + entry("U8", "[1,1,1,1,1,2]", "[0,2]") + "}", 2));
  EXPECT_EQ(file.entry("x").extents.size(), 6u);
  EXPECT_THROW(file.view("x"), Error);
}

TEST_F(SafetensorsTest, MissingTensorsAreNamed) {
  const auto file = Safetensors::open(craft(R"({"weight":)" + entry("U8", "[2]", "[0,2]") + "}", 2));
  try {
    file.view("bias");
    ADD_FAILURE();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()), "[safetensors] " + file.path().string() + R"( has no tensor "bias"; it holds 1: "weight")");
  }
}

// ---- refusals ----

TEST_F(SafetensorsTest, RefusesWhatIsNoFile) {
  expect_refused(folder_.path() / "absent.safetensors", {"cannot open", "No such file"});
  expect_refused(folder_.path(), {"a folder"});
  expect_refused("/dev/null", {"not a regular file"});
}

TEST_F(SafetensorsTest, RefusesBrokenFrames) {
  expect_refused(craft_raw(""), {"0 bytes", "at least 8"});
  expect_refused(craft_raw("1234567"), {"7 bytes", "at least 8"});
  expect_refused(craft_raw(length_of(0)), {"begins with \"\"", "\"{\""});
  expect_refused(craft_raw(length_of(100'000'001) + "{}"), {"100000001", "at most 100000000"});
  expect_refused(craft_raw(length_of(std::numeric_limits<std::uint64_t>::max()) + "{}"), {"18446744073709551615"});
  expect_refused(craft_raw(length_of(3) + "{}"), {"length is 3", "only 2 bytes follow"});
  expect_refused(craft(" {}", 0), {"begins with \" \""});
  expect_refused(craft("[]", 0), {"begins with \"[\""});
  expect_refused(craft("\xEF\xBB\xBF{}", 0), {"begins with"});
}

TEST_F(SafetensorsTest, RefusesBrokenJson) {
  expect_refused(craft("{", 0), {"not valid JSON at byte 2 of 1"});
  expect_refused(craft("{} {}", 0), {"not valid JSON"});
  expect_refused(craft(std::string("{}\0", 3), 0), {"not valid JSON at byte 3 of 3"});
  expect_refused(craft(R"({"x":)" + entry("U8", "[2]", "[0,2]") + ",}", 2), {"not valid JSON"});
  expect_refused(craft("{\"\xC3\x28\":1}", 0), {"not valid JSON"});      // not UTF-8
  expect_refused(craft("{\"\xED\xA0\x80\":1}", 0), {"not valid JSON"});  // a surrogate
  expect_refused(craft(R"({"x":1e999})", 0), {"cannot be represented"});
  expect_refused(craft(R"({"x":)" + std::string(100, '[') + std::string(100, ']') + "}", 0), {"nested more than 16"});
  expect_refused(craft(R"({"x":)" + std::string(1'000'000, '['), 0), {"nested more than 16"});
}

TEST_F(SafetensorsTest, RefusesDuplicateKeys) {
  const std::string x = R"("x":)" + entry("U8", "[2]", "[0,2]");
  expect_refused(craft("{" + x + "," + x + "}", 2), {"has \"x\" twice"});
  expect_refused(craft(R"({"x":{"dtype":"U8","dtype":"I8","shape":[2],"data_offsets":[0,2]}})", 2), {"has \"dtype\" twice"});
  expect_refused(craft(R"({"__metadata__":{},"__metadata__":{}})", 0), {"has \"__metadata__\" twice"});
  expect_refused(craft(R"({"__metadata__":{"a":"1","a":"2"}})", 0), {"has \"a\" twice"});
  expect_refused(craft("{" + x + R"(,"\u0078":)" + entry("U8", "[0]", "[2,2]") + "}", 2), {"has \"x\" twice"});
}

TEST_F(SafetensorsTest, RefusesBrokenMetadata) {
  expect_refused(craft(R"({"__metadata__":[]})", 0), {"__metadata__ is []"});
  expect_refused(craft(R"({"__metadata__":{"a":1}})", 0), {"\"a\" of __metadata__ is 1, expected a string"});
  expect_refused(craft(R"({"__metadata__":{"a":{"b":"c"}}})", 0), {"expected a string"});
}

TEST_F(SafetensorsTest, RefusesBrokenDescriptions) {
  const auto with = [&](const std::string& description, const std::vector<std::string>& parts) {
    SCOPED_TRACE(description);
    std::vector<std::string> all = parts;
    all.push_back("tensor \"layer1.0\"");
    expect_refused(craft(R"({"layer1.0":)" + description + "}", 8), all);
  };
  with("3", {"is 3, expected an object"});
  with("null", {"expected an object"});
  with(R"({"shape":[8],"data_offsets":[0,8]})", {"has no dtype"});
  with(R"({"dtype":"U8","data_offsets":[0,8]})", {"has no shape"});
  with(R"({"dtype":"U8","shape":[8]})", {"has no data_offsets"});
  with(entry("F31", "[2]", "[0,8]"), {"dtype \"F31\"", "F32"});
  with(R"({"dtype":8,"shape":[8],"data_offsets":[0,8]})", {"dtype 8"});
  with(entry("f32", "[2]", "[0,8]"), {"dtype \"f32\""});
  with(entry("F32", "2", "[0,8]"), {"shape 2"});
  with(entry("F32", "[-2]", "[0,8]"), {"shape [-2]", "whole numbers"});
  with(entry("F32", "[2.0]", "[0,8]"), {"shape [2.0]"});
  with(entry("F32", "[\"2\"]", "[0,8]"), {"shape [\"2\"]"});
  with(entry("F32", "[9223372036854775808]", "[0,8]"), {"shape [9223372036854775808]"});
  with(entry("F32", "[18446744073709551616]", "[0,8]"), {"shape [1.84"});
  with(entry("F32", "[2305843009213693952,2]", "[0,8]"), {"more elements than can be counted"});
  with(entry("F32", "[4294967296,4294967296,0]", "[0,0]"), {"more elements than can be counted"});
  with(entry("F32", "[3]", "[0,8]"), {"has 8 bytes", "expected 12", "F32 (3)"});
  with(entry("F32", "[]", "[0,8]"), {"expected 4"});
  with(entry("F4", "[15]", "[0,8]"), {"do not fill whole bytes"});
  with(entry("U8", "[8]", "[8,0]"), {"data_offsets [8,0]", "begin <= end"});
  with(entry("U8", "[8]", "[0,8,8]"), {"data_offsets [0,8,8]"});
  with(entry("U8", "[8]", "[-8,0]"), {"data_offsets [-8,0]"});
  with(entry("U8", "[8]", "[0,8.0]"), {"data_offsets [0,8.0]"});
  with(entry("U8", "[8]", "8"), {"data_offsets 8"});
}

TEST_F(SafetensorsTest, RefusesOverlapsHolesAndTheWrongEnd) {
  const auto two = [&](const std::string& a, const std::string& b, std::size_t bytes) {
    return craft(R"({"a":)" + entry("U8", "[4]", a) + R"(,"b":)" + entry("U8", "[4]", b) + "}", bytes);
  };
  EXPECT_EQ(refusal(two("[0,4]", "[4,8]", 8)), "opened");
  expect_refused(two("[0,4]", "[3,7]", 7), {"tensor \"b\" begins at byte 3", "expected 4", "overlaps tensor \"a\""});
  expect_refused(two("[0,4]", "[0,4]", 4), {"overlaps"});
  expect_refused(two("[0,4]", "[5,9]", 9), {"tensor \"b\" begins at byte 5", "expected 4", "no tensor"});
  expect_refused(two("[1,5]", "[5,9]", 9), {"tensor \"a\" begins at byte 1", "expected 0"});
  expect_refused(two("[0,4]", "[4,8]", 7), {"tensor \"b\" has the bytes 4 to 8", "7 bytes of data"});
  expect_refused(two("[0,4]", "[4,8]", 9), {"9 bytes of data", "end at byte 8"});
  expect_refused(two("[0,4]", "[18446744073709551611,18446744073709551615]", 8), {"tensor \"b\" has the bytes 18446744073709551611"});
  expect_refused(craft("{}", 1), {"1 bytes of data"});
  expect_refused(craft(R"({"a":)" + entry("U8", "[4]", "[0,4]") + R"(,"empty":)" + entry("U8", "[0]", "[2,2]") + "}", 4), {"overlaps"});
}

TEST_F(SafetensorsTest, RefusesToWriteNonsense) {
  const std::array<float, 2> x{1, 2};
  const ConstView view{x.data(), DType::f32, {2}};
  const auto write = [&](const std::vector<NamedView>& tensors, const SafetensorsMetadata& metadata = {}) { write_safetensors(file_, tensors, metadata); };
  EXPECT_THROW(write({{"a", view}, {"a", view}}), Error);
  EXPECT_THROW(write({{"__metadata__", view}}), Error);
  EXPECT_THROW(write({{"a", ConstView{}}}), Error);
  EXPECT_THROW(write({{"\xC3\x28", view}}), Error);
  EXPECT_THROW(write({{"a", view}}, {{"key", "\xFF"}}), Error);
  EXPECT_THROW(write({{"a", view}}, {{"key", std::string(100'000'000, 'x')}}), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

// ---- whatever the bytes ----

class SafetensorsDamage : public SafetensorsTest {
 protected:
  SafetensorsDamage() {
    const std::string header = R"({"__metadata__":{"a":"b"},"x":)" + entry("F32", "[2,1]", "[0,8]") + R"(,"y":)" + entry("I64", "[]", "[8,16]") + R"(,"z":)" +
                               entry("BOOL", "[0,9]", "[16,16]") + "}  ";
    valid_ = content_of(craft(header, 16));
  }

  // Opens the file; where that succeeds, touches every byte and view.
  static bool opens(const std::filesystem::path& path) {
    try {
      const Safetensors file = Safetensors::open(path);
      unsigned sum = 0;
      for (const auto& listed : file.entries()) {
        for (const std::byte byte : listed.bytes) sum += std::to_integer<unsigned>(byte);
        try {
          const ConstView view = file.view(listed.name);
          for (std::int64_t i = 0; i < view.size(); ++i) sum += view.at_offset(i) > 0;
        } catch (const Error&) {
        }
      }
      return sum < std::numeric_limits<unsigned>::max();
    } catch (const Error&) {
      return false;
    }
  }

  std::string valid_;
};

TEST_F(SafetensorsDamage, EveryTruncationIsRefused) {
  ASSERT_TRUE(opens(craft_raw(valid_)));
  for (std::size_t length = 0; length < valid_.size(); ++length) EXPECT_FALSE(opens(craft_raw(valid_.substr(0, length)))) << length;
  EXPECT_FALSE(opens(craft_raw(valid_ + 'x')));
}

TEST_F(SafetensorsDamage, NoChangedByteCrashes) {
  const std::size_t end = valid_.size() - 16;
  std::size_t refused = 0;
  for (std::size_t position = 0; position < end; ++position) {
    for (const int flipped : {1 << position % 8, 0xff}) {
      std::string damaged = valid_;
      damaged[position] = static_cast<char>(damaged[position] ^ flipped);
      refused += !opens(craft_raw(damaged));
    }
  }
  // Names and metadata may become others; lengths, types, shapes and offsets may not.
  EXPECT_GT(refused, end);
}

TEST_F(SafetensorsDamage, NoRandomByteCrashes) {
  std::uint32_t state = 12345;
  for (int round = 0; round < 500; ++round) {
    std::string damaged = valid_;
    for (int change = 0; change < 3; ++change) {
      state = state * 1664525u + 1013904223u;
      damaged[8 + (state >> 8) % (damaged.size() - 8)] = "0123456789{}[]\",:\\eE.-"[(state >> 3) % 22];
    }
    opens(craft_raw(damaged));
  }
}

}  // namespace
}  // namespace isda
