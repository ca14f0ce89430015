// SPDX-License-Identifier: Apache-2.0
// Conformance of the language: shuffles, votes, barriers, shared memory, atomics, bits, mathematics, and what kernels build from them.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "tests/emulator/conformance_fixture.h"

namespace isda::conformance {
namespace {

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
  for (const std::size_t threads : {1u, 32u, 45u, 1024u}) {
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
// outside of [0.5, 2] and 2^-21.41 inside; correctly rounded for __frcp_rn and __fsqrt_rn; 1 ulp for sinpif and cospif, of the rounded result).
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
      // NOTE: of the distance from the nearest multiple, which is exact.
      const double turn = std::remainder(b, 2), from_zero = std::abs(turn) > 0.5 ? std::copysign(1, turn) - turn : turn;
      EXPECT_LE(ulps(result[i].sine, std::sin(std::numbers::pi * from_zero)), 1.5) << b;
      EXPECT_LE(ulps(result[i].cosine, std::sin(std::numbers::pi * (0.5 - std::abs(turn)))), 1.5) << b;
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
