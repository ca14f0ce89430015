// SPDX-License-Identifier: Apache-2.0
// In which order threads and blocks run: forward and reverse really are, random orders differ by their seed and repeat with it.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "kernels/common/simt.cuh"
#include "tests/emulator/emulated_card.h"
#include "tests/emulator/on_card.h"

namespace isda {
namespace {

using emulator::Order;

// Every thread writes its number at the next place, `turns` times with a barrier between.
__global__ void line_up_kernel(unsigned* line, unsigned* next, int turns) {
  for (int turn = 0; turn < turns; ++turn) {
    line[atomicAdd(next, 1u)] = blockIdx.x * blockDim.x + threadIdx.x;
    __syncthreads();
  }
}

// The order in which threads came by.
std::vector<unsigned> line_up(unsigned blocks, unsigned threads, int turns = 1) {
  const Context context(Device::cuda);
  const OnCard<unsigned> line(std::size_t{blocks} * threads * static_cast<std::size_t>(turns));
  const OnCard next(std::vector<unsigned>{0});
  launch(context, {.name = "line_up", .grid = blocks, .block = threads}, line_up_kernel, line, next, turns);
  context.synchronise();
  return line.read();
}

// The numbers of block `block`, last one first.
std::vector<unsigned> falling(unsigned block, unsigned threads) {
  std::vector<unsigned> result;
  for (unsigned thread = threads; thread-- > 0;) result.push_back(block * threads + thread);
  return result;
}

class Orders : public EmulatedCard {};

TEST_F(Orders, ForwardIsTheLowestThreadOfTheOldestBlock) {
  std::vector<unsigned> expected;
  for (unsigned i = 0; i < 3 * 70; ++i) expected.push_back(i);
  EXPECT_EQ(line_up(3, 70), expected);
}

TEST_F(Orders, ReverseIsTheHighestThreadOfTheYoungestBlock) {
  options.order = Order::reverse;
  // Blocks begin from the last; two are in flight: 3 and 2; then 1, younger than 3; then 0; then 3 is left.
  std::vector<unsigned> expected;
  for (const unsigned block : {2u, 1u, 0u, 3u}) {
    const std::vector<unsigned> its = falling(block, 70);
    expected.insert(expected.end(), its.begin(), its.end());
  }
  EXPECT_EQ(line_up(4, 70), expected);
}

TEST_F(Orders, ForwardAndReverseBehindABarrier) {
  std::vector<unsigned> rising(64);
  for (unsigned i = 0; i < 64; ++i) rising[i] = i;
  std::vector<unsigned> twice = rising;
  twice.insert(twice.end(), rising.begin(), rising.end());
  EXPECT_EQ(line_up(1, 64, 2), twice);
  options.order = Order::reverse;
  std::reverse(twice.begin(), twice.end());
  EXPECT_EQ(line_up(1, 64, 2), twice);
}

TEST_F(Orders, RandomOrdersRepeatWithTheirSeedAndDifferByIt) {
  for (const Order order : {Order::pct, Order::random}) {
    options.order = order;
    std::set<std::vector<unsigned>> seen;
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
      options.seed = seed;
      const std::vector<unsigned> line = line_up(4, 96, 3);
      line_up(3, 33);  // what ran between makes no difference
      EXPECT_EQ(line_up(4, 96, 3), line) << "seed " << seed;
      seen.insert(line);
    }
    EXPECT_EQ(seen.size(), 8u) << "two seeds have the same order";
  }
}

TEST_F(Orders, PctLetsOneWarpRunFarAheadOfAnother) {
  // Without barriers: how far the first warp to finish is ahead of the last to begin.
  options.order = Order::pct;
  bool is_any_whole_warp_ahead = false;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    options.seed = seed;
    const std::vector<unsigned> line = line_up(1, 128);
    const auto is_of_one_warp = [&](unsigned thread) { return thread / 32 == line[0] / 32; };
    is_any_whole_warp_ahead = is_any_whole_warp_ahead || std::all_of(line.begin(), line.begin() + 32, is_of_one_warp);
  }
  EXPECT_TRUE(is_any_whole_warp_ahead);
}

__global__ void count_blocks_kernel(unsigned* counts) { atomicAdd(&counts[(blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x], 1u); }

TEST_F(Orders, EveryBlockRunsOnceInEveryOrder) {
  const Context context(Device::cuda);
  for (const Order order : {Order::forward, Order::reverse, Order::random, Order::pct}) {
    options.order = order;
    for (const dim3 grid : {dim3(1), dim3(2), dim3(3), dim3(64), dim3(97), dim3(5, 4, 3), dim3(1, 1, 30), dim3(1, 31)}) {
      for (options.seed = 0; options.seed <= 5; ++options.seed) {
        const std::size_t blocks = std::size_t{grid.x} * grid.y * grid.z;
        const OnCard counts(std::vector<unsigned>(blocks, 0));
        launch(context, {.name = "count_blocks", .grid = grid, .block = 1}, count_blocks_kernel, counts);
        context.synchronise();
        ASSERT_EQ(counts.read(), std::vector<unsigned>(blocks, 1)) << blocks << " blocks, seed " << options.seed;
      }
    }
  }
}

TEST_F(Orders, TwoBlocksAreInFlightOrOne) {
  // How often the next in line is of another block.
  const auto changes = [](const std::vector<unsigned>& line) {
    int count = 0;
    for (std::size_t i = 1; i < line.size(); ++i) count += line[i] / 64 != line[i - 1] / 64;
    return count;
  };
  options.order = Order::pct;
  int with_two = 0;
  for (options.seed = 1; options.seed <= 8; ++options.seed) {
    options.blocks_in_flight = 1;
    EXPECT_EQ(changes(line_up(4, 64, 4)), 3) << "seed " << options.seed;
    options.blocks_in_flight = 2;
    with_two += changes(line_up(4, 64, 4));
  }
  EXPECT_GT(with_two, 8 * 3);
}

}  // namespace
}  // namespace isda
