// SPDX-License-Identifier: Apache-2.0
// The card's pool: reuse without asking the driver, a full card, blocks that pass between streams, allocation while a graph is recorded, memory of a graph.
#include <bit>
#include <memory>
#include <optional>
#include <vector>

#include "core/graph_memory.h"
#include "kernels/elementwise/elementwise.h"
#include "tests/core/card.h"
#include "tests/core/expect_error.h"

namespace isda {
namespace {

using CardMemory = OnTheCardTest;

Storage on_card(std::size_t bytes) { return allocate(bytes, Device::cuda); }
MemoryStatistics statistics() { return memory_statistics(Device::cuda); }
const Context& context() { return context_of(Device::cuda); }

TEST_F(CardMemory, AWarmLoopAsksTheDriverForNothing) {
  const auto loop = [] {
    std::vector<Storage> blocks;
    for (std::size_t i = 1; i < 40; ++i) {
      blocks.push_back(on_card(i * 1000));
      if (i % 3 == 0) blocks.erase(blocks.begin());
    }
  };
  loop();
  const MemoryStatistics warm = statistics();
  EXPECT_GT(warm.system_allocations, 0u);
  for (int i = 0; i < 20; ++i) loop();
  EXPECT_EQ(statistics().system_allocations, warm.system_allocations);
  EXPECT_EQ(statistics().reserved, warm.reserved);
  EXPECT_EQ(statistics().in_use, warm.in_use);
}

TEST_F(CardMemory, IsCountedApartFromTheHosts) {
  const MemoryStatistics host = memory_statistics(), card = statistics();
  const Storage block = on_card(1 << 20);
  EXPECT_EQ(std::bit_cast<std::uintptr_t>(block.get()) % 256, 0u);
  EXPECT_EQ(statistics().in_use, card.in_use + (1 << 20));
  EXPECT_EQ(statistics().system_allocations, card.system_allocations + 1);
  EXPECT_EQ(memory_statistics().in_use, host.in_use);
  EXPECT_EQ(memory_statistics().reserved, host.reserved);
}

TEST_F(CardMemory, KnowsWhatLiesOnTheCard) {
  Storage block = on_card(1000);
  const std::byte* begin = block.get();
  EXPECT_TRUE(is_on_card(begin));
  EXPECT_TRUE(is_on_card(begin + 999));
  EXPECT_FALSE(is_on_card(begin - 1));
  EXPECT_FALSE(is_on_card(begin + 1024)) << "the class of 1000 bytes has 1024";
  EXPECT_FALSE(is_on_card(allocate(1000, Device::cpu).get()));
  EXPECT_FALSE(is_on_card(nullptr));
  block = nullptr;
  release_free_memory(Device::cuda);
  EXPECT_FALSE(is_on_card(begin));
}

TEST_F(CardMemory, WhatIsReleasedGoesBackToTheDriver) {
  const std::size_t reserved = statistics().reserved, free = cuda::free_memory().free;
  const Storage kept = on_card(1 << 20);
  { const Storage freed = on_card(3 << 20); }
  EXPECT_EQ(statistics().reserved, reserved + (4 << 20));
  EXPECT_LE(cuda::free_memory().free, free - (4 << 20));
  release_free_memory(Device::cuda);
  EXPECT_EQ(statistics().reserved, reserved + (1 << 20));
#if defined(ISDA_EMULATED)
  EXPECT_EQ(cuda::free_memory().free, free - (1 << 20));
#endif
}

#if defined(ISDA_EMULATED)
// A card with room for so many bytes beside what is on it now.
void leave_room_for(std::size_t bytes) {
  const auto [free, total] = cuda::free_memory();
  emulator::options().device_bytes = total - free + bytes;
}

TEST_F(CardMemory, AFullCardIsAnErrorThatSaysWhatToLower) {
  const OptionsScope scope;
  leave_room_for(1 << 20);
  const MemoryStatistics before = statistics();
  expect_error([] { on_card(std::size_t{3} << 30); }, "[memory] the card has no 3.000 GiB more: 0.001 of ");
  expect_error([] { on_card(std::size_t{3} << 30); }, " GiB are free. Lower --batch-size or choose a smaller --model");
  EXPECT_EQ(statistics().in_use, before.in_use);
  EXPECT_EQ(statistics().reserved, before.reserved);
  EXPECT_EQ(statistics().system_allocations, before.system_allocations);
  EXPECT_TRUE(on_card(1 << 20)) << "the next request is served";
}

TEST_F(CardMemory, BeforeItIsFullTheFreeBlocksOfOtherClassesGoBack) {
  const OptionsScope scope;
  leave_room_for(8 << 20);
  { const Storage small = on_card(2 << 20), other = on_card(4 << 20); }
  const std::uint64_t allocations = statistics().system_allocations;
  const Storage large = on_card(8 << 20);
  EXPECT_EQ(statistics().system_allocations, allocations + 1);
  EXPECT_EQ(statistics().reserved, statistics().in_use) << "nothing is free any more";
  expect_error([] { on_card(1 << 20); }, "the card has no 0.001 GiB more: 0.000 of ");
}

TEST_F(CardMemory, BeforeItIsFullTheFreeBlocksServeAsScratch) {
  const OptionsScope scope;
  leave_room_for(8 << 20);
  { const Storage small = on_card(2 << 20), other = on_card(4 << 20); }
  const Context scratch_alone(Device::cuda);
  EXPECT_TRUE(scratch_alone.scratch().take<std::byte>(7 << 20));
  EXPECT_EQ(statistics().reserved, statistics().in_use) << "nothing is free any more";
  Scratch scratch = scratch_alone.scratch();
  expect_error([&] { scratch.take<std::byte>(16 << 20); }, "[memory] the card has no 0.016 GiB more: 0.001 of ");
}
#endif

// ---- two streams ----

#if defined(ISDA_EMULATED)
// The card does its work late, and the streams take turns by the dice: what may go wrong does in some of these rounds.
constexpr int kRounds = 40;
const Shape kShape{1000};

TEST_F(CardMemory, ABlockGoesToAnotherStreamOnlyAfterTheWorkOfTheFirst) {
  const DeferredStreams deferred;
  OtherThread other;
  other.run([] { on_card(1); });  // a second stream is there
  int handed_over = 0;
  for (int round = 0; round < kRounds; ++round) {
    const Tensor expected = counted_from(round, kShape);
    Tensor x = expected.to(DType::f32, Device::cuda);
    const void* const memory = x.view().data();
    const Tensor y = x.clone();
    x = {};
    other.run([&] {
      const Tensor z = Tensor::full(kShape, -1, DType::f32, Device::cuda);
      handed_over += z.view().data() == memory;
      context().synchronise();
    });
    ASSERT_EQ(first_difference(y, expected), -1) << "round " << round;
  }
  EXPECT_EQ(handed_over, kRounds);
}

TEST_F(CardMemory, ABlockFreedByAnotherThreadFollowsBothStreams) {
  const DeferredStreams deferred;
  OtherThread other;
  other.run([] { on_card(1); });
  for (int round = 0; round < kRounds; ++round) {
    const Tensor expected = counted_from(round, kShape);
    Tensor x = expected.to(DType::f32, Device::cuda), y = x.clone(), z;
    const void* const memory = x.view().data();
    // The other thread frees it while this one's stream has yet to read it, and takes it again.
    other.run([&] {
      x = {};
      x = Tensor::full(kShape, -1, DType::f32, Device::cuda);
      EXPECT_EQ(x.view().data(), memory);
      z = x.clone();
      x = {};
    });
    EXPECT_EQ(first_difference(y, expected), -1) << "round " << round;
    // This one takes it back while the other's stream has yet to read it.
    x = Tensor::zeros(kShape, DType::f32, Device::cuda);
    EXPECT_EQ(x.view().data(), memory);
    context().synchronise();
    other.run([&] {
      EXPECT_EQ(first_difference(z, Tensor::full(kShape, -1)), -1) << "round " << round;
      z = {};
    });
    x = {}, y = {};
    ASSERT_FALSE(HasFailure());
  }
}
#endif

TEST_F(CardMemory, WithOneStreamABlockStaysItsOwn) {
  const std::byte* mine = on_card(5000).get();  // given back at once
  OtherThread other;
  other.run([&] { EXPECT_NE(on_card(5000).get(), mine) << "no event was recorded, so no other stream can wait"; });
  EXPECT_EQ(on_card(5000).get(), mine);
}

TEST_F(CardMemory, TheBlocksOfAThreadThatEndedAreAnyones) {
  const std::byte* theirs = nullptr;
  Storage left;
  {
    OtherThread other;
    other.run([&] {
      theirs = on_card(5000).get();
      left = on_card(7000);
    });
  }
  EXPECT_EQ(on_card(5000).get(), theirs);
  const std::byte* memory = left.get();
  left = nullptr;
  EXPECT_EQ(on_card(7000).get(), memory);
}

TEST_F(CardMemory, ATensorMayOutliveTheStreamOfItsThread) {
  const std::size_t in_use = statistics().in_use;
  std::thread([] {
    thread_local Storage late;  // made before the thread has a stream, and so destroyed after it
    late.reset();
    late = on_card(5000);
  }).join();
  EXPECT_EQ(statistics().in_use, in_use);
}

TEST_F(CardMemory, SeveralThreadsEachWithAStream) {
  constexpr int kThreads = 3;
  std::vector<std::int64_t> wrong(kThreads);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&wrong, t] {
      for (int round = 0; round < 60; ++round) {
        const Tensor expected = counted_from(t * 100 + round, {500 + 100 * (round % 3)});
        const Tensor copied = expected.to(DType::f32, Device::cuda).clone();
        wrong[static_cast<std::size_t>(t)] += first_difference(copied.clone(), expected) != -1;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (int t = 0; t < kThreads; ++t) EXPECT_EQ(wrong[static_cast<std::size_t>(t)], 0) << "thread " << t;
}

// ---- while a graph is recorded ----

TEST_F(CardMemory, WhileAGraphIsRecordedABlockMustBeFree) {
  const Tensor source = counted_from(1, {3000}).to(DType::f32, Device::cuda), target = Tensor::zeros({3000}, DType::f32, Device::cuda);
  context().synchronise();
  const std::byte* free = on_card(12000).get();
  cuda::Graph graph(context().stream());
  expect_error([] { on_card(50000); },
               "[memory] 53248 bytes are allocated while a graph is recorded, and no such block is free: run the step once before it is recorded");
  expect_error([] { release_free_memory(Device::cuda); }, "[memory] memory of the card is released while a graph is recorded");
  {
    const Tensor between({3000}, DType::f32, Device::cuda);
    EXPECT_EQ(static_cast<const void*>(between.view().data()), static_cast<const void*>(free));
    copy(source, between);
    copy(between, target);
  }
  graph.finish();
  EXPECT_EQ(graph.nodes(), 2u) << "what was refused left the graph as it was";
  EXPECT_EQ(first_difference(target, Tensor::zeros({3000})), -1);
  graph.launch(context().stream());
  EXPECT_EQ(first_difference(target, source), -1);
}

TEST_F(CardMemory, AGraphDoesNotTakeTheBlockOfAnotherStream) {
  on_card(1);
  OtherThread other;
  other.run([] { on_card(1); });
  const Tensor x = Tensor::zeros({15000}, DType::f32, Device::cuda);
  other.run([] { on_card(50000); });  // two streams are known: it is given back with an event
  const std::byte* mine = on_card(60000).get();
  cuda::Graph graph(context().stream());
  expect_error([] { on_card(50000); }, "while a graph is recorded");
  copy(Tensor::zeros({15000}, DType::f32, Device::cuda), x);
  EXPECT_EQ(on_card(60000).get(), mine);
  graph.finish();
  EXPECT_EQ(graph.nodes(), 2u) << "the fill and the copy";
  // What was given back while recording has no event, and stays with its stream.
  other.run([&] { EXPECT_NE(on_card(60000).get(), mine); });
  EXPECT_TRUE(on_card(50000));
}

// ---- memory of a graph ----

class GraphMemories : public OnTheCardTest {};

const void* address_of(const Tensor& tensor) { return tensor.view().data(); }

TEST_F(GraphMemories, WhatIsGivenBackIsGivenToNobodyElse) {
  const Shape shape{1000};
  auto memory = std::make_unique<GraphMemory>();
  const void* first = nullptr;
  {
    const GraphMemory::Scope scope(*memory);
    first = address_of(Tensor(shape, DType::f32, Device::cuda));
    EXPECT_EQ(address_of(Tensor(shape, DType::f32, Device::cuda)), first);
  }
  const Tensor outside(shape, DType::f32, Device::cuda);
  EXPECT_NE(address_of(outside), first);
  release_free_memory(Device::cuda);
  {
    const GraphMemory::Scope scope(*memory);
    EXPECT_EQ(address_of(Tensor(shape, DType::f32, Device::cuda)), first) << "what is free goes back to the driver, but not what a graph has";
  }
  memory.reset();
  EXPECT_EQ(address_of(Tensor(shape, DType::f32, Device::cuda)), first) << "then it is anybody's";
}

TEST_F(GraphMemories, WhatOutlivesItIsAnybodysThen) {
  const Shape shape{1000};
  Tensor kept;
  {
    GraphMemory memory;
    const GraphMemory::Scope scope(memory);
    kept = Tensor(shape, DType::f32, Device::cuda);
  }
  const void* address = address_of(kept);
  kept = {};
  EXPECT_EQ(address_of(Tensor(shape, DType::f32, Device::cuda)), address);
}

TEST_F(GraphMemories, ScratchMemoryIsApartToo) {
  const Context& context = context_of(Device::cuda);
  GraphMemory memory;
  const std::byte* first = nullptr;
  {
    const GraphMemory::Scope scope(memory);
    first = context.scratch().take<std::byte>(1 << 20);
  }
  // NOTE: the context's own arena grows, and gives back what it had.
  EXPECT_NE(context.scratch().take<std::byte>(1 << 20), first);
  EXPECT_NE(context.scratch().take<std::byte>(1 << 22), first);
  const GraphMemory::Scope scope(memory);
  EXPECT_EQ(context.scratch().take<std::byte>(1 << 20), first);
}

TEST_F(GraphMemories, AGraphFindsAgainWhatTheStepBeforeItTook) {
  const Context& context = context_of(Device::cuda);
  GraphMemory memory;
  const Tensor x = counted_from(1, {50}).to(DType::f32, Device::cuda);
  Tensor y = Tensor::zeros({50}, DType::f32, Device::cuda);
  const auto step = [&] {
    const Tensor sum = Tensor::like(x);
    kernels::run(context, kernels::Add{.a = x, .b = y, .y = sum});
    kernels::run(context, kernels::Add{.a = sum, .b = sum, .y = y});
  };
  std::optional<cuda::Graph> graph;
  {
    const GraphMemory::Scope scope(memory);
    step();
    graph.emplace(context.stream());
    step();
    graph->finish();
  }
  // Whoever comes between two replays gets other memory: what is kept there is still there afterwards.
  const Tensor other = counted_from(7, {50}).to(DType::f32, Device::cuda);
  graph->launch(context.stream());
  EXPECT_EQ(first_difference(other, counted_from(7, {50})), -1);
  Tensor expected = Tensor::zeros({50});
  for (int turn = 0; turn < 2; ++turn) {
    for (std::int64_t i = 0; i < 50; ++i) expected.view().set(2 * (counted_from(1, {50}).view().at(i) + expected.view().at(i)), i);
  }
  EXPECT_EQ(first_difference(y, expected), -1);
}

}  // namespace
}  // namespace isda
