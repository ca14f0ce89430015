// SPDX-License-Identifier: Apache-2.0
// What the hardware does according to its manuals, against what the cuda device does: the emulated card under every schedule, or a real card.
//
// Formulas: PTX ISA 9.0 and CUDA C++ Programming Guide 13, written here from the manuals and not from the emulator. Values are integers, so that
// every comparison is exact.
#include "tests/emulator/conformance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "kernels/common/cuda_device.h"
#include "tests/kernels/emulated_orders.h"

namespace isda::conformance {
namespace {

class Conformance : public testing::Test {
 protected:
  void SetUp() override {
    if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  }

  // Calls body() under each schedule.
  template <class Body>
  static void always(Body&& body) {
    for_each_order([&](const std::string& order) {
      SCOPED_TRACE(order);
      body();
    });
  }

  int integer(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); }
  std::uint32_t word() { return std::uniform_int_distribution<std::uint32_t>()(random); }
  Words words(std::size_t count) {
    Words result(count);
    for (auto& value : result) value = word();
    return result;
  }

  std::mt19937 random{20};
};

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

// ---- shuffles: CUDA C++ Programming Guide, warp shuffle functions ----

class Shuffles : public Conformance {
 protected:
  // Sub-masks whose lanes keep to themselves in segments of `width`.
  const std::vector<unsigned> masks{0xffffffffu, 0x0000ffffu, 0xffff0000u, 0x55555555u, 0x0ff00ff0u};

  // source(lane, argument, width): the lane whose value is returned. Compared where that lane takes part.
  template <class Source>
  void test(Shuffle kind, Source&& source) {
    const Words values = words(32);
    for (const int width : {4, 8, 16, 32}) {
      for (const unsigned mask : masks) {
        std::vector<int> arguments(32);
        // NOTE: the distance is one for all lanes; by index each may name another.
        const int distance = integer(0, 31);
        for (auto& argument : arguments) argument = kind == Shuffle::index ? integer(0, 63) : distance;
        always([&] {
          const Words result = shuffle(kind, mask, width, values, arguments);
          for (int lane = 0; lane < 32; ++lane) {
            const auto i = static_cast<std::size_t>(lane);
            const int from = source(lane, arguments[i], width);
            if (!(mask >> lane & 1)) {
              EXPECT_EQ(result[i], 0xffffffffu);
            } else if (mask >> from & 1) {
              EXPECT_EQ(result[i], values[static_cast<std::size_t>(from)]) << "lane " << lane << " width " << width << " argument " << arguments[i];
            }
          }
        });
      }
    }
  }
};

// "If srcLane is outside the range [0:width-1], the value returned corresponds to the value of var held by the srcLane modulo width", in the
// lane's own segment.
TEST_F(Shuffles, Index) {
  test(Shuffle::index, [](int lane, int argument, int width) { return lane / width * width + argument % width; });
}
// "If width is less than warpSize then each group of width consecutive threads are able to access elements from earlier groups of threads,
// however if they attempt to access elements from later groups of threads their own value of var will be returned."
TEST_F(Shuffles, ExclusiveOr) {
  test(Shuffle::exclusive_or, [](int lane, int argument, int width) { return (lane ^ argument) / width > lane / width ? lane : lane ^ argument; });
}
// "the ID number of the source lane will not wrap around the value of width", so the upper (lower) delta lanes keep their own value.
TEST_F(Shuffles, Down) {
  test(Shuffle::down, [](int lane, int argument, int width) { return lane % width + argument < width ? lane + argument : lane; });
}
TEST_F(Shuffles, Up) {
  test(Shuffle::up, [](int lane, int argument, int width) { return lane % width >= argument ? lane - argument : lane; });
}

TEST_F(Shuffles, EightBytes) {
  std::vector<std::int64_t> values(32);
  for (auto& value : values) value = static_cast<std::int64_t>(std::uint64_t{word()} << 32 | word());
  for (const int lane_mask : {1, 2, 4, 8, 16, 31}) {
    std::vector<std::int64_t> expected(32);
    for (int lane = 0; lane < 32; ++lane) expected[static_cast<std::size_t>(lane)] = values[static_cast<std::size_t>(lane ^ lane_mask)];
    always([&] { EXPECT_EQ(shuffle_wide(values, lane_mask), expected); });
  }
}

TEST_F(Conformance, VotesAndReductionsOfAWarp) {
  std::vector<int> some(32), none(32, 0), all(32);
  for (auto& predicate : some) predicate = integer(0, 1) * 2;
  for (auto& predicate : all) predicate = integer(1, 9) * 256;
  const Words values = words(32);
  for (const unsigned mask : {0xffffffffu, 0x0000ffffu, 0x80000001u, 0x00f0f000u}) {
    for (const auto& predicates : {some, none, all}) {
      unsigned ballot = 0, sum = 0, largest = 0;
      for (unsigned lane = 0; lane < 32; ++lane) {
        if (!(mask >> lane & 1)) continue;
        if (predicates[lane]) ballot |= 1u << lane;
        sum += values[lane];
        largest = std::max(largest, values[lane]);
      }
      always([&] {
        const std::vector<Votes> votes = vote(mask, predicates, values);
        for (unsigned lane = 0; lane < 32; ++lane) {
          if (!(mask >> lane & 1)) continue;
          EXPECT_EQ(votes[lane].ballot, ballot);
          EXPECT_EQ(votes[lane].any, static_cast<unsigned>(ballot != 0));
          EXPECT_EQ(votes[lane].all, static_cast<unsigned>(ballot == mask));
          EXPECT_EQ(votes[lane].sum, sum);
          EXPECT_EQ(votes[lane].largest, largest);
          // NOTE: which lanes are active together is the card's choice; this one is.
          EXPECT_TRUE(votes[lane].active >> lane & 1);
        }
      });
    }
  }
}

TEST_F(Conformance, SyncwarpOrdersMemory) {
  const Words values = words(32);
  Words expected = values;
  for (std::size_t lane = 0; lane < 32; lane += 2) std::swap(expected[lane], expected[lane + 1]);
  always([&] { EXPECT_EQ(exchange_pairs(values), expected); });
}

// ---- blocks ----

TEST_F(Conformance, VotesOfABlock) {
  for (const std::size_t threads : {1u, 32u, 45u, 256u, 1024u}) {
    for (const int kind : {0, 1, 2}) {
      std::vector<int> predicates(threads);
      for (auto& predicate : predicates) predicate = kind == 0 ? 0 : kind == 1 ? 4 : integer(0, 1) * 8;
      const auto count = static_cast<int>(threads) - static_cast<int>(std::count(predicates.begin(), predicates.end(), 0));
      always([&] {
        for (const BlockVotes& votes : block_vote(predicates)) {
          ASSERT_EQ(votes.count, count);
          ASSERT_EQ(votes.all != 0, count == static_cast<int>(threads));
          ASSERT_EQ(votes.any != 0, count > 0);
        }
      });
    }
  }
}

TEST_F(Conformance, BuiltInVariables) {
  const std::array<unsigned, 3> grid{3, 2, 4}, block{5, 3, 2};
  always([&] {
    const std::vector<Place> all = places(grid, block);
    std::size_t i = 0;
    for (unsigned bz = 0; bz < grid[2]; ++bz)
      for (unsigned by = 0; by < grid[1]; ++by)
        for (unsigned bx = 0; bx < grid[0]; ++bx)
          for (unsigned tz = 0; tz < block[2]; ++tz)
            for (unsigned ty = 0; ty < block[1]; ++ty)
              for (unsigned tx = 0; tx < block[0]; ++tx, ++i) {
                const auto are = [](const std::uint32_t(&values)[3], unsigned x, unsigned y, unsigned z) {
                  return values[0] == x && values[1] == y && values[2] == z;
                };
                ASSERT_TRUE(are(all[i].thread, tx, ty, tz)) << i;
                ASSERT_TRUE(are(all[i].block, bx, by, bz)) << i;
                ASSERT_TRUE(are(all[i].block_extent, block[0], block[1], block[2])) << i;
                ASSERT_TRUE(are(all[i].grid_extent, grid[0], grid[1], grid[2])) << i;
              }
    EXPECT_EQ(i, all.size());
  });
}

TEST_F(Conformance, TwoSharedArraysDoNotOverlap) {
  for (const unsigned threads : {32u, 256u}) {
    Words expected;
    for (unsigned i = 0; i < threads; ++i) expected.push_back((i + 1) % threads * 1002);
    always([&] { EXPECT_EQ(two_shared_arrays(threads), expected); });
  }
}

TEST_F(Conformance, CarvedPiecesAreAlignedAndDoNotOverlap) {
  always([&] {
    EXPECT_EQ(carved(1, 1, 1), (std::vector<std::int64_t>{0, 0, 0, 1, 100, 10000}));
    EXPECT_EQ(carved(37, 41, 19), (std::vector<std::int64_t>{0, 0, 0, 37, 4100, 190000}));
    EXPECT_EQ(carved(60000, 5000, 1000), (std::vector<std::int64_t>{0, 0, 0, 60000, 500000, 10000000}));
  });
}

// ---- atomics, fences, caches ----

TEST_F(Conformance, Atomics) {
  constexpr unsigned kBlocks = 3, kThreads = 45, kAll = kBlocks * kThreads;
  always([&] {
    AtomicResults results = atomics(kBlocks, kThreads);
    EXPECT_EQ(results.cells.sum, kAll);
    EXPECT_EQ(results.cells.signed_sum, -2 * static_cast<int>(kAll));
    EXPECT_EQ(results.cells.wide_sum, kAll * (1ull << 33));
    EXPECT_EQ(results.cells.float_sum, kAll * 0.5f);
    EXPECT_EQ(results.cells.largest, kAll - 1);
    EXPECT_EQ(results.cells.by_compare_and_swap, 3 * kAll);
    // Every thread saw another sum; every value that was put in came out again but one.
    std::sort(results.old_sums.begin(), results.old_sums.end());
    results.exchanged.push_back(results.cells.last_exchanged);
    std::sort(results.exchanged.begin(), results.exchanged.end());
    for (unsigned i = 0; i < kAll; ++i) {
      ASSERT_EQ(results.old_sums[i], i);
      ASSERT_EQ(results.exchanged[i], i);
    }
    EXPECT_EQ(results.exchanged.back(), 0xffffffffu);
  });
}

TEST_F(Conformance, FenceAndCounterLetTheLastBlockFinish) {
  const Words values = words(7 * 64);
  const std::uint32_t sum = std::accumulate(values.begin(), values.end(), 0u);
  always([&] { EXPECT_EQ(sum_by_last_block(values, 7), Words{sum}); });
}

TEST_F(Conformance, LoadsAndStoresPastCaches) {
  const Words values = words(128);
  always([&] { EXPECT_EQ(copy_past_caches(values), values); });
}

// ---- bits and mathematics ----

TEST_F(Conformance, Bits) {
  Words a{0, 1, 2, 0x80000000u, 0xffffffffu, 0x00010000u, 0x7fffffffu}, b{0, 0xffffffffu, 0x80000000u, 2, 0xffffffffu, 0x00010000u, 2};
  while (a.size() < 256) {
    a.push_back(word() >> integer(0, 31));
    b.push_back(word());
  }
  always([&] {
    const std::vector<conformance::Bits> result = bits(a, b);
    for (std::size_t i = 0; i < a.size(); ++i) {
      int population = 0, leading = 32, first = 0;
      for (int bit = 0; bit < 32; ++bit) {
        if (!(a[i] >> bit & 1)) continue;
        ++population;
        leading = 31 - bit;
        if (first == 0) first = bit + 1;
      }
      EXPECT_EQ(result[i].population, population) << a[i];
      EXPECT_EQ(result[i].leading_zeros, leading) << a[i];
      EXPECT_EQ(result[i].first_set, first) << a[i];
      EXPECT_EQ(result[i].high_product, static_cast<std::uint32_t>(std::uint64_t{a[i]} * b[i] >> 32)) << a[i];
      EXPECT_EQ(result[i].as_word, result[i].back);
    }
  });
}

// Distance in units of the expected value's last place.
double ulps(float actual, double expected) {
  const auto nearest = static_cast<float>(expected);
  return std::abs(actual - expected) / (std::nextafter(std::abs(nearest), std::numeric_limits<float>::infinity()) - std::abs(nearest));
}

// Errors allowed: CUDA C++ Programming Guide, mathematical functions (2 ulp for rsqrtf and __fdividef, 2 + |1.173 x| for __expf, 3 ulp for __logf
// outside of [0.5, 2] and 2^-21.41 inside; correctly rounded for __frcp_rn and __fsqrt_rn).
TEST_F(Conformance, Functions) {
  Floats x, y;
  for (int i = 0; i < 256; ++i) {
    x.push_back(std::ldexp(1 + static_cast<float>(word() >> 9) * 0x1p-23f, integer(-20, 20)));
    y.push_back(static_cast<float>(integer(-30000, 30000)) * 1e-3f);
  }
  always([&] {
    const std::vector<conformance::Functions> result = functions(x, y);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double a = x[i], b = y[i];
      EXPECT_LE(ulps(result[i].rsqrt, 1 / std::sqrt(a)), 2) << a;
      EXPECT_LE(ulps(result[i].exponential, std::exp(b)), 2 + std::abs(1.173 * b)) << b;
      if (a >= 0.5 && a <= 2) {
        EXPECT_LE(std::abs(result[i].logarithm - std::log(a)), std::exp2(-21.41)) << a;
      } else {
        EXPECT_LE(ulps(result[i].logarithm, std::log(a)), 3) << a;
      }
      EXPECT_LE(ulps(result[i].quotient, b / a), 2) << b << " / " << a;
      EXPECT_EQ(result[i].reciprocal, static_cast<float>(1 / a)) << a;
      EXPECT_EQ(result[i].root, static_cast<float>(std::sqrt(a))) << a;
    }
  });
}

TEST_F(Conformance, Bf16OfEveryPattern) {
  // Every value of bf16, and around it those f32 that lie half way to the next, just below and just above.
  Floats values;
  for (std::uint32_t bits = 0; bits < 0x10000; bits += 3) {
    for (const std::uint32_t low : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) values.push_back(std::bit_cast<float>(bits << 16 | low));
  }
  const std::vector<std::uint16_t> result = to_bf16(values);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bf16 expected(values[i]);
    if (std::isnan(values[i])) {
      ASSERT_TRUE(std::isnan(std::bit_cast<float>(std::uint32_t{result[i]} << 16))) << i;
    } else {
      ASSERT_EQ(result[i], expected.bits) << values[i];
    }
  }
}

TEST_F(Conformance, EveryBf16IsAFloat) {
  std::vector<std::uint16_t> all(0x10000);
  std::iota(all.begin(), all.end(), std::uint16_t{0});
  const Floats result = from_bf16(all);
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto expected = std::bit_cast<float>(bits << 16);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(result[bits]));
    } else {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(result[bits]), bits << 16);
    }
  }
}

TEST_F(Conformance, PhiloxIsTheHosts) {
  std::vector<std::uint64_t> counters(256);
  for (auto& counter : counters) counter = std::uint64_t{word()} << 32 | word();
  const std::vector<PhiloxCounter> result = philox_words(0x123456789abcdef0u, RandomStream::dropout, 77, counters);
  for (std::size_t i = 0; i < counters.size(); ++i) EXPECT_EQ(result[i], philox(0x123456789abcdef0u, RandomStream::dropout, 77, counters[i]));
  const Words raw = words(256);
  const std::vector<Uniform> uniform = uniform_numbers(raw, 10007);
  for (std::size_t i = 0; i < raw.size(); ++i) {
    EXPECT_EQ(uniform[i].fraction, uniform_float(raw[i]));
    EXPECT_EQ(uniform[i].below, uniform_below(raw[i], 10007));
  }
}

// ---- packed.cuh, warp.cuh ----

TEST_F(Conformance, SixteenBytesAtATime) {
  Floats values;
  std::vector<bf16> halves;
  for (int i = 0; i < 512; ++i) {
    values.push_back(static_cast<float>(integer(-1000000, 1000000)));
    halves.emplace_back(static_cast<float>(integer(-128, 128)));
  }
  always([&] {
    const Floats y = doubled(values);
    const std::vector<bf16> z = doubled(halves);
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(y[i], 2 * values[i]);
      EXPECT_EQ(static_cast<float>(z[i]), 2 * static_cast<float>(halves[i]));
    }
  });
}

TEST_F(Conformance, ReductionsOfAWarp) {
  Floats values;
  for (int i = 0; i < 32; ++i) values.push_back(static_cast<float>(integer(-100000, 100000)));
  for (const int width : {2, 4, 8, 16, 32}) {
    Floats sums(32), largest(32);
    for (std::size_t lane = 0; lane < 32; ++lane) {
      const auto first = values.begin() + static_cast<std::ptrdiff_t>(lane) / width * width;
      sums[lane] = std::accumulate(first, first + width, 0.0f);
      largest[lane] = *std::max_element(first, first + width);
    }
    always([&] {
      EXPECT_EQ(warp_sum(width, values), sums);
      EXPECT_EQ(warp_max(width, values), largest);
    });
  }
}

TEST_F(Conformance, MomentsOfAWarp) {
  // Lane l brings the moments of l % 5 numbers; some bring none.
  std::vector<Moments<float>> parts(32);
  std::vector<std::vector<float>> numbers(32);
  for (std::size_t lane = 0; lane < 32; ++lane) {
    for (std::size_t i = 0; i < lane % 5; ++i) {
      numbers[lane].push_back(static_cast<float>(integer(-100, 100)));
      parts[lane].add(numbers[lane].back());
    }
  }
  for (const int width : {8, 32}) {
    always([&] {
      const std::vector<Moments<float>> result = warp_moments(width, parts);
      for (int lane = 0; lane < 32; ++lane) {
        Moments<double> expected;
        const int first = lane / width * width;
        for (int other = first; other < first + width; ++other) {
          for (const float number : numbers[static_cast<std::size_t>(other)]) expected.add(static_cast<double>(number));
        }
        const Moments<float>& actual = result[static_cast<std::size_t>(lane)];
        EXPECT_EQ(actual.count, static_cast<float>(expected.count));
        EXPECT_NEAR(actual.mean, expected.mean, 1e-4);
        EXPECT_NEAR(actual.m2, expected.m2, 1e-5 * expected.m2);
        // Every lane of a group has the same bits.
        const Moments<float>& leader = result[static_cast<std::size_t>(first)];
        EXPECT_EQ(actual.mean, leader.mean);
        EXPECT_EQ(actual.m2, leader.m2);
      }
    });
  }
}

TEST_F(Conformance, SumOfABlock) {
  for (const std::size_t threads : {32u, 64u, 96u, 256u, 1024u}) {
    Floats values;
    for (std::size_t i = 0; i < threads; ++i) values.push_back(static_cast<float>(integer(-1000, 1000)));
    const Floats expected(threads, std::accumulate(values.begin(), values.end(), 0.0f));
    always([&] { EXPECT_EQ(block_sum(values), expected); });
  }
}

}  // namespace
}  // namespace isda::conformance
