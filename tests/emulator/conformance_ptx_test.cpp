// SPDX-License-Identifier: Apache-2.0
// Conformance of the PTX wrappers: ldmatrix, mma.sync, rounding to TF32, cp.async.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "tests/emulator/conformance_fixture.h"

namespace isda::conformance {
namespace {

// ---- ldmatrix: PTX ISA 9.7.14.5.15 ----

// "Each thread receives fragment of a row": of matrix m, thread t holds in register m the elements 2*(t%4) and 2*(t%4)+1 of row t/4, the first
// in the lower half. With .trans the matrix is loaded in column-major form: row and column change places.
class LoadMatrix : public Conformance {
 protected:
  void test(int matrices, bool is_transposed) {
    // Rows of 8 elements at multiples of 16 bytes, in no order: each address is its own.
    std::vector<std::uint16_t> shared(64 * 8 + 8);
    for (auto& element : shared) element = static_cast<std::uint16_t>(word());
    std::vector<int> rows(65);
    std::iota(rows.begin(), rows.end(), 0);
    std::shuffle(rows.begin(), rows.end(), random);
    std::vector<int> begins(32);
    for (int lane = 0; lane < 32; ++lane) begins[static_cast<std::size_t>(lane)] = rows[static_cast<std::size_t>(lane)] * 8;

    Words expected;
    for (int thread = 0; thread < 32; ++thread) {
      for (int matrix = 0; matrix < matrices; ++matrix) {
        // Threads 0-7 give the rows of the first matrix, 8-15 of the second, and so on.
        const auto element = [&](int row, int column) {
          if (is_transposed) std::swap(row, column);
          return shared[static_cast<std::size_t>(begins[static_cast<std::size_t>(matrix * 8 + row)] + column)];
        };
        const int row = thread / 4, column = thread % 4 * 2;
        expected.push_back(static_cast<std::uint32_t>(element(row, column + 1)) << 16 | element(row, column));
      }
    }
    always([&] { EXPECT_EQ(ldmatrix(matrices, is_transposed, shared, begins), expected); });
  }
};

TEST_F(LoadMatrix, OneMatrix) { test(1, false); }
TEST_F(LoadMatrix, TwoMatrices) { test(2, false); }
TEST_F(LoadMatrix, FourMatrices) { test(4, false); }
TEST_F(LoadMatrix, OneMatrixTransposed) { test(1, true); }
TEST_F(LoadMatrix, TwoMatricesTransposed) { test(2, true); }
TEST_F(LoadMatrix, FourMatricesTransposed) { test(4, true); }

// ---- mma.sync ----

// A matrix of integers, row by row.
struct Matrix {
  int rows, columns;
  std::vector<int> values;

  int at(int row, int column) const { return values[static_cast<std::size_t>(row * columns + column)]; }
};

class Product : public Conformance {
 protected:
  Matrix matrix(int rows, int columns, int largest) {
    Matrix result{rows, columns, {}};
    for (int i = 0; i < rows * columns; ++i) result.values.push_back(integer(-largest, largest));
    return result;
  }

  // Registers c0..c3 of the accumulator (the same for both instructions): row groupID for c0 and c1, groupID + 8 for c2 and c3; column
  // threadID_in_group * 2 + (i & 1).
  template <class Value>
  static Floats accumulator(Value&& value) {
    Floats result;
    for (int lane = 0; lane < 32; ++lane) {
      const int group = lane >> 2, thread = lane % 4;
      for (int i = 0; i < 4; ++i) result.push_back(static_cast<float>(value(i < 2 ? group : group + 8, thread * 2 + (i & 1))));
    }
    return result;
  }

  static Floats expected(const Matrix& a, const Matrix& b, const Matrix& c) {
    return accumulator([&](int row, int column) {
      int sum = c.at(row, column);
      for (int k = 0; k < a.columns; ++k) sum += a.at(row, k) * b.at(k, column);
      return sum;
    });
  }
};

// PTX ISA 9.7.14.5.8, m16n8k16 with .bf16:
//   a_i: row groupID for i in {0, 1, 4, 5}, else groupID + 8; column threadID_in_group * 2 + (i & 1), + 8 for i >= 4
//   b_i: row threadID_in_group * 2 + (i & 1), + 8 for i >= 2; column groupID
TEST_F(Product, Bf16) {
  const auto pair = [](int low, int high) {
    const auto bits = [](int value) { return std::bit_cast<std::uint32_t>(static_cast<float>(value)) >> 16; };
    return bits(low) | bits(high) << 16;
  };
  const Matrix a = matrix(16, 16, 255), b = matrix(16, 8, 255), c = matrix(16, 8, 10000);
  Words a_words, b_words;
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane >> 2, thread = lane % 4;
    for (int i = 0; i < 8; i += 2) {
      const int row = i == 0 || i == 4 ? group : group + 8, column = thread * 2 + (i >= 4 ? 8 : 0);
      a_words.push_back(pair(a.at(row, column), a.at(row, column + 1)));
    }
    for (int i = 0; i < 4; i += 2) {
      const int row = thread * 2 + (i >= 2 ? 8 : 0);
      b_words.push_back(pair(b.at(row, group), b.at(row + 1, group)));
    }
  }
  const Floats d = accumulator([&](int row, int column) { return c.at(row, column); });
  always([&] { EXPECT_EQ(mma_bf16(a_words, b_words, d), expected(a, b, c)); });
}

// PTX ISA 9.7.14.5.5, m16n8k8 with .tf32:
//   a_i: row groupID for a0 and a2, else groupID + 8; column threadID_in_group for a0 and a1, else + 4
//   b_i: row threadID_in_group for b0, + 4 for b1; column groupID
TEST_F(Product, Tf32) {
  const auto bits = [](int value) { return std::bit_cast<std::uint32_t>(static_cast<float>(value)); };
  const Matrix a = matrix(16, 8, 1000), b = matrix(8, 8, 100), c = matrix(16, 8, 10000);
  Words a_words, b_words;
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane >> 2, thread = lane % 4;
    for (int i = 0; i < 4; ++i) a_words.push_back(bits(a.at(i == 0 || i == 2 ? group : group + 8, i < 2 ? thread : thread + 4)));
    for (int i = 0; i < 2; ++i) b_words.push_back(bits(b.at(i == 0 ? thread : thread + 4, group)));
  }
  const Floats d = accumulator([&](int row, int column) { return c.at(row, column); });
  always([&] { EXPECT_EQ(mma_tf32(a_words, b_words, d), expected(a, b, c)); });
}

// ---- cvt.rna.tf32.f32: PTX ISA 9.7.9.21 ----

// The nearest of the two neighbours with 10 mantissa bits, found by distance; the one further from zero when both are as near.
float nearest_tf32(float value) {
  if (value == 0 || std::isinf(value)) return value;
  const double magnitude = std::abs(static_cast<double>(value));
  const int exponent = std::max(std::ilogb(magnitude), -126);
  const double step = std::ldexp(1.0, exponent - 10), below = std::floor(magnitude / step) * step, above = below + step;
  const double nearest = magnitude - below < above - magnitude ? below : above;
  return std::copysign(nearest > std::numeric_limits<float>::max() ? std::numeric_limits<float>::infinity() : static_cast<float>(nearest), value);
}

TEST_F(Conformance, ToTf32) {
  Floats values{0.0f, -0.0f, 1.0f, -1.0f, 3.14159265f, 65504.0f, 1e-3f, -123456.789f};
  // Ties and what lies just beside them: 1 + 2^-11 is half way between 1 and 1 + 2^-10.
  for (const float tie : {1 + 0x1p-11f, 1 + 3 * 0x1p-11f, -(1 + 0x1p-11f), 0x1p20f + 0x1p9f}) {
    values.insert(values.end(), {std::nextafter(tie, 0.0f), tie, std::nextafter(tie, 2 * tie)});
  }
  // Denormals, the smallest normal one, the largest, infinity.
  values.insert(values.end(),
                {0x1p-149f, 0x1p-137f, 0x1p-136f, -0x1.8p-136f, 0x1p-127f, 0x1.fffffcp-127f, 0x1p-126f, std::numeric_limits<float>::max(),
                 -std::numeric_limits<float>::max(), 0x1.ffdp127f, std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()});
  while (values.size() < 512) values.push_back(std::bit_cast<float>(word() & 0xff7fffffu));
  always([&] {
    const Words result = to_tf32(values);
    for (std::size_t i = 0; i < values.size(); ++i) {
      // NOTE: the lower 13 bits of a .tf32 register are not part of the value.
      EXPECT_EQ(result[i] & 0xffffe000u, std::bit_cast<std::uint32_t>(nearest_tf32(values[i]))) << values[i];
    }
  });
}

TEST_F(Conformance, ToTf32KeepsNaN) {
  const Floats values{std::bit_cast<float>(0x7fc00000u), std::bit_cast<float>(0xffc00000u), std::bit_cast<float>(0x7f800001u),
                      std::bit_cast<float>(0x7fffffffu)};
  always([&] {
    for (const std::uint32_t word : to_tf32(values)) EXPECT_TRUE(std::isnan(std::bit_cast<float>(word & 0xffffe000u))) << std::hex << word;
  });
}

// ---- cp.async: PTX ISA 9.7.9.25.3 ----

TEST_F(Conformance, CpAsync) {
  for (const int bytes : {4, 8, 16}) {
    SCOPED_TRACE(bytes);
    std::vector<unsigned char> from(static_cast<std::size_t>(bytes) * 64);
    for (auto& byte : from) byte = static_cast<unsigned char>(word() | 1);
    const std::vector<int> all(64, 1);
    always([&] { EXPECT_EQ(cp_async(bytes, from, all), from); });
    // src-size 0: nothing is read, zeros are written.
    std::vector<int> some(64);
    auto expected = from;
    for (std::size_t i = 0; i < 64; ++i) {
      some[i] = integer(0, 1);
      for (std::size_t byte = 0; !some[i] && byte < static_cast<std::size_t>(bytes); ++byte) expected[i * static_cast<std::size_t>(bytes) + byte] = 0;
    }
    always([&] { EXPECT_EQ(cp_async(bytes, from, some), expected); });
  }
}

TEST_F(Conformance, CpAsyncGroupsArriveInOrder) {
  const Words from = words(96);
  always([&] { EXPECT_EQ(cp_async_groups(from), from); });
}

}  // namespace
}  // namespace isda::conformance
