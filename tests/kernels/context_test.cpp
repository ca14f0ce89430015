// SPDX-License-Identifier: Apache-2.0
// Scratch memory, the parallel loop, and the one verb.
#include "kernels/common/context.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>

#include "kernels/common/parallel.h"
#include "kernels/elementwise/elementwise.h"
#include "tests/kernels/array.h"

namespace isda {
namespace {

// ---- scratch ----

TEST(ScratchMemory, PiecesAreAlignedAndApart) {
  const Context context(Device::cpu, 1);
  Scratch scratch = context.scratch();
  struct Piece {
    std::byte* memory;
    std::size_t bytes;
  };
  std::vector<Piece> pieces;
  // From single bytes to more than a block holds.
  for (const std::size_t bytes : {1, 64, 65, 1000, 300000, 900000, 5000000, 3, 64}) {
    pieces.push_back({scratch.take<std::byte>(static_cast<std::int64_t>(bytes)), bytes});
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pieces.back().memory) % Arena::kAlignment, 0u);
    std::memset(pieces.back().memory, static_cast<int>(pieces.size()), bytes);
  }
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto is_its_own = [&](std::byte byte) { return static_cast<std::size_t>(byte) == i + 1; };
    EXPECT_TRUE(std::all_of(pieces[i].memory, pieces[i].memory + pieces[i].bytes, is_its_own)) << "piece " << i << " was written over";
  }
}

TEST(ScratchMemory, IsGivenBackAtTheEndOfItsScope) {
  const Context context(Device::cpu, 1);
  Scratch outer = context.scratch();
  auto* kept = outer.take<int>(10);
  std::fill_n(kept, 10, 7);
  const std::size_t used = context.arena().used();
  int* first = nullptr;
  {
    Scratch inner = context.scratch();
    first = inner.take<int>(1000);
    std::fill_n(first, 1000, 1);
    EXPECT_GT(context.arena().used(), used);
  }
  EXPECT_EQ(context.arena().used(), used);
  Scratch again = context.scratch();
  EXPECT_EQ(again.take<int>(1000), first) << "the same memory serves the next one";
  EXPECT_EQ(std::count(kept, kept + 10, 7), 10);
}

TEST(ScratchMemory, DoesNotGrowOnceItKnowsTheSizes) {
  const Context context(Device::cpu, 1);
  const auto round = [&] {
    Scratch scratch = context.scratch();
    scratch.take<float>(1000);
    Scratch inner = context.scratch();
    inner.take<float>(2'000'000);
    inner.take<float>(3'000'000);
  };
  round();
  const std::size_t capacity = context.arena().capacity();
  EXPECT_GE(capacity, 5'001'000 * sizeof(float));
  for (int i = 0; i < 5; ++i) round();
  EXPECT_EQ(context.arena().capacity(), capacity);
}

// ---- the parallel loop ----

TEST(ParallelFor, VisitsEveryIndexOnce) {
  for (const int threads : {1, 2, 3, 7}) {
    const Context context(Device::cpu, threads);
    for (const std::int64_t count : {0, 1, 2, 5, 100}) {
      std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
      std::atomic<bool> is_thread_valid = true;
      parallel_for(context, count, [&](std::int64_t index, int thread) {
        ++visits[static_cast<std::size_t>(index)];
        if (thread < 0 || thread >= threads) is_thread_valid = false;
      });
      for (const auto& visit : visits) EXPECT_EQ(visit, 1);
      EXPECT_TRUE(is_thread_valid);
    }
  }
}

TEST(ParallelFor, NoTwoThreadsShareANumber) {
  const Context context(Device::cpu, 3);
  std::array<std::atomic<int>, 3> inside{};
  std::atomic<bool> is_shared = false;
  parallel_for(context, 300, [&](std::int64_t, int thread) {
    auto& mine = inside[static_cast<std::size_t>(thread)];
    if (++mine != 1) is_shared = true;
    --mine;
  });
  EXPECT_FALSE(is_shared);
}

TEST(ParallelFor, ThrowsWhatABodyThrew) {
  for (const int threads : {1, 2, 3}) {
    const Context context(Device::cpu, threads);
    EXPECT_EQ(thrown_by([&] { parallel_for(context, 100, [&](std::int64_t index) { require(index != 37, "[test] index {}", index); }); }), "[test] index 37");
    EXPECT_THROW(parallel_for(context, 2, [](std::int64_t) { throw std::out_of_range("every one"); }), std::out_of_range);
    // The next loop is not disturbed.
    std::atomic<int> visits = 0;
    parallel_for(context, 10, [&](std::int64_t) { ++visits; });
    EXPECT_EQ(visits, 10);
  }
}

TEST(ParallelFor, RunsSeriallyInsideItself) {
  const Context context(Device::cpu, 2);
  std::atomic<int> visits = 0;
  parallel_for(context, 4, [&](std::int64_t) {
    std::int64_t next = 0;
    parallel_for(context, 5, [&](std::int64_t index, int thread) {
      EXPECT_EQ(index, next++);  // no other thread touches `next`
      EXPECT_EQ(thread, 0);
      ++visits;
    });
  });
  EXPECT_EQ(visits, 20);
}

TEST(ParallelRanges, CoverEverythingInPiecesOfTheGrain) {
  const Context context(Device::cpu, 3);
  for (const std::int64_t count : {0, 1, 9, 10, 11, 95}) {
    std::vector<std::atomic<int>> visits(static_cast<std::size_t>(count));
    parallel_ranges(context, count, 10, [&](std::int64_t begin, std::int64_t end) {
      EXPECT_EQ(begin % 10, 0);
      EXPECT_TRUE(end == begin + 10 || end == count);
      for (std::int64_t i = begin; i < end; ++i) ++visits[static_cast<std::size_t>(i)];
    });
    for (const auto& visit : visits) EXPECT_EQ(visit, 1);
  }
}

// ---- the one verb ----

TEST(Run, ChecksBeforeItComputesAndGoesToTheDevice) {
  const Array<float> a({3}, {1, 2, 3}), b({3}, {10, 20, 30});
  for (const Device device : {Device::reference, Device::cpu}) {
    Array<float> y({3});
    run(Context(device, 1), kernels::Add{.a = a, .b = b, .y = y});
    EXPECT_EQ(y.values, (std::vector<float>{11, 22, 33}));
    Array<float> small({2}, 5.0f);
    EXPECT_EQ(thrown_by([&] { run(Context(device, 1), kernels::Add{.a = a, .b = b, .y = small}); }), "[add] y is (2), expected (3): the shape of a");
    EXPECT_EQ(small.values, (std::vector<float>{5, 5})) << "nothing was written";
  }
}

}  // namespace
}  // namespace isda
