// SPDX-License-Identifier: Apache-2.0
// The caching allocator: size classes, alignment, reuse, what it counts, and several threads at once.
#include "core/memory.h"

#include <gtest/gtest.h>

#include <barrier>
#include <bit>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include "tests/core/expect_error.h"

namespace isda {
namespace {

std::size_t in_use() { return memory_statistics().in_use; }

TEST(Memory, SizeClassesHoldTheRequestAndWasteAtMostAnEighth) {
  std::size_t last = 0;
  for (std::size_t bytes = 0; bytes < 5000; ++bytes) {
    const std::size_t before = in_use();
    const Storage block = allocate(bytes, Device::cpu);
    const std::size_t size = in_use() - before;
    ASSERT_GE(size, bytes);
    ASSERT_GE(size, 256u);
    if (bytes > 256) {
      ASSERT_LE(size * 8, bytes * 9) << bytes << " bytes";
    }
    ASSERT_GE(size, last) << bytes << " bytes";
    last = size;
  }
}

TEST(Memory, ClassesAreAnEighthOfAPowerOfTwoApart) {
  for (const std::size_t power : {std::size_t{256}, std::size_t{1} << 12, std::size_t{1} << 20}) {
    for (std::size_t eighth = 0; eighth < 8; ++eighth) {
      const std::size_t size = power + eighth * (power / 8);
      const std::size_t before = in_use();
      const Storage exact = allocate(size, Device::cpu);
      EXPECT_EQ(in_use() - before, size);
      const Storage one_more = allocate(size + 1, Device::cpu);
      EXPECT_EQ(in_use() - before, size + size + power / 8);
    }
  }
}

TEST(Memory, BlocksAreAlignedAndWritableToTheEnd) {
  for (const std::size_t bytes : {1, 63, 257, 1000, 4097, 70001, 1 << 20}) {
    const Storage block = allocate(bytes, Device::reference);
    EXPECT_EQ(std::bit_cast<std::uintptr_t>(block.get()) % 64, 0u) << bytes;
    std::memset(block.get(), 0xA5, bytes);
  }
}

TEST(Memory, BlocksInUseDoNotOverlap) {
  std::vector<std::pair<Storage, std::size_t>> blocks;
  for (std::size_t i = 0; i < 200; ++i) {
    const std::size_t bytes = 100 + 37 * i;
    blocks.emplace_back(allocate(bytes, Device::cpu), bytes);
    std::memset(blocks.back().first.get(), static_cast<int>(i), bytes);
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const auto& [block, bytes] = blocks[i];
    for (std::size_t b = 0; b < bytes; ++b) ASSERT_EQ(block.get()[b], static_cast<std::byte>(i)) << "block " << i << " byte " << b;
  }
}

TEST(Memory, AFreedBlockServesTheNextRequestOfItsClassOnly) {
  release_free_memory();
  Storage block = allocate(100000, Device::cpu);
  const std::byte* address = block.get();
  block = nullptr;
  const Storage larger = allocate(200000, Device::cpu);
  EXPECT_NE(larger.get(), address);
  const Storage nearly = allocate(99000, Device::cpu);  // of the same class
  EXPECT_EQ(nearly.get(), address);
}

TEST(Memory, AWarmLoopAsksTheSystemForNothing) {
  const auto loop = [] {
    std::vector<Storage> blocks;
    for (std::size_t i = 1; i < 40; ++i) {
      blocks.push_back(allocate(i * 1000, Device::cpu));
      if (i % 3 == 0) blocks.erase(blocks.begin());
    }
  };
  loop();
  const MemoryStatistics warm = memory_statistics();
  for (int i = 0; i < 20; ++i) loop();
  EXPECT_EQ(memory_statistics().system_allocations, warm.system_allocations);
  EXPECT_EQ(memory_statistics().reserved, warm.reserved);
  EXPECT_EQ(memory_statistics().in_use, warm.in_use);
}

TEST(Memory, CountsWhatIsInUseReservedAndThePeak) {
  release_free_memory();
  const MemoryStatistics before = memory_statistics();
  const std::size_t large = before.peak_in_use + (std::size_t{1} << 20), rounded = (large + 63) / 64 * 64;
  Storage block = allocate(rounded, Device::cpu);
  const MemoryStatistics during = memory_statistics();
  const std::size_t size = during.in_use - before.in_use;
  EXPECT_GE(size, rounded);
  EXPECT_EQ(during.reserved, before.reserved + size);
  EXPECT_EQ(during.peak_in_use, during.in_use);
  EXPECT_EQ(during.system_allocations, before.system_allocations + 1);

  const Storage shared = block;
  block = nullptr;
  EXPECT_EQ(in_use(), during.in_use) << "a block lives as long as its last owner";
}

TEST(Memory, FreeingKeepsTheReserveUntilItIsReleased) {
  release_free_memory();
  const MemoryStatistics before = memory_statistics();
  { const Storage block = allocate(1 << 20, Device::cpu), other = allocate(1 << 18, Device::cpu); }
  const MemoryStatistics freed = memory_statistics();
  EXPECT_EQ(freed.in_use, before.in_use);
  EXPECT_EQ(freed.reserved, before.reserved + (1 << 20) + (1 << 18));
  EXPECT_GE(freed.peak_in_use, before.in_use + (1 << 20) + (1 << 18));

  const Storage used = allocate(1 << 18, Device::cpu);
  std::memset(used.get(), 7, 1 << 18);
  release_free_memory();
  EXPECT_EQ(memory_statistics().reserved, before.reserved + (1 << 18)) << "what is in use stays";
  EXPECT_EQ(used.get()[(1 << 18) - 1], std::byte{7});
  EXPECT_EQ(memory_statistics().peak_in_use, freed.peak_in_use) << "the peak is not forgotten";
}

TEST(Memory, SeveralThreadsAtOnce) {
  const std::size_t before = in_use();
  constexpr int kThreads = 4, kRounds = 20'000;
  std::vector<int> spoiled(kThreads);
  std::vector<Storage> passed_on(kThreads);
  std::vector<std::thread> threads;
  std::barrier all_ready(kThreads);
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const auto mine = static_cast<std::byte>(t + 1);
      std::vector<std::pair<Storage, std::size_t>> blocks;
      all_ready.arrive_and_wait();
      for (int round = 0; round < kRounds; ++round) {
        // All threads ask for the same few classes, so that blocks wander between them.
        const std::size_t bytes = 200 * static_cast<std::size_t>(1 + round % 3);
        blocks.emplace_back(allocate(bytes, Device::cpu), bytes);
        std::memset(blocks.back().first.get(), t + 1, bytes);
        if (blocks.size() < 8) continue;
        const auto& [block, size] = blocks.front();
        spoiled[static_cast<std::size_t>(t)] += block.get()[0] != mine || block.get()[size - 1] != mine;
        blocks.erase(blocks.begin());
      }
      passed_on[static_cast<std::size_t>(t)] = blocks.back().first;  // freed by another thread than it was made by
    });
  }
  for (auto& thread : threads) thread.join();
  for (int t = 0; t < kThreads; ++t) EXPECT_EQ(spoiled[static_cast<std::size_t>(t)], 0) << "thread " << t;
  EXPECT_GT(in_use(), before);
  passed_on.clear();
  EXPECT_EQ(in_use(), before);
}

TEST(Memory, WhatTheSystemDoesNotHaveIsAnErrorAndLeavesTheCountsAlone) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer ends the program where the system would refuse";
#endif
  { const Storage free_block = allocate(1 << 20, Device::cpu); }
  const MemoryStatistics before = memory_statistics();
  expect_error([] { allocate(std::size_t{1} << 60, Device::cpu); }, "[memory] the system has no 1152921504606846976 bytes more");
  const MemoryStatistics after = memory_statistics();
  EXPECT_EQ(after.in_use, before.in_use);
  EXPECT_EQ(after.peak_in_use, before.peak_in_use);
  EXPECT_EQ(after.system_allocations, before.system_allocations);
  EXPECT_LT(after.reserved, before.reserved) << "what was free is given back before giving up";
  EXPECT_GT(allocate(1000, Device::cpu).use_count(), 0) << "the next request is served";
}

}  // namespace
}  // namespace isda
