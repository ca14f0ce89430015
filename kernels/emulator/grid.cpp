// SPDX-License-Identifier: Apache-2.0
// A launch: which block begins, which thread runs, what happens when one fails.
//
// Up to two blocks are in flight. Threads switch directly to each other; the launching thread (the host's) is switched to only when a block
// has ended, to begin the next, or when nothing can run.
#include "kernels/emulator/grid.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "kernels/emulator/accesses.h"
#include "kernels/emulator/block.h"

// NOTE: not thread-local: one launch runs at a time, whichever host thread it runs on, and they are set at every switch.
uint3 threadIdx{}, blockIdx{};
dim3 blockDim{}, gridDim{};

namespace isda::emulator {

Thread* current = nullptr;
Counters* counting = nullptr;

namespace {

// NOTE: enough under AddressSanitizer too, whose frames are larger.
constexpr std::size_t kStackBytes = 64 * 1024;

}  // namespace

struct Grid {
  Fiber host;
  std::array<Block, 2> blocks;
  const Launch* launch = nullptr;
  std::uint64_t total = 0, begun = 0;
  Dice dice;
  bool is_older_first = true;  // pct: which of the two blocks in flight has priority
  std::string report;          // of the failure; empty while all is well
  Thread* failed = nullptr;    // whose code told of it
  bool is_abandoning = false;
  Block::Token begin_token{}, end_token{};
};

// NOTE: never destroyed: its stacks would be unmapped while a sanitizer still knows of them.
Grid& make_grid() { return *new Grid; }

namespace {

Grid* running_grid = nullptr;
Grid& grid() { return *running_grid; }

// ---- which block, which thread ----

// The number of the block that is begun as the i-th.
std::uint64_t block_number(std::uint64_t i, std::uint64_t total) {
  switch (options().order) {
    case Order::forward: return i;
    case Order::reverse: return total - 1 - i;
    case Order::random:
    case Order::pct: {
      // A step that shares no factor with the total visits every block once.
      std::uint64_t step = (options().seed * 2654435761ull) % total | 1;
      while (std::gcd(step, total) != 1) step += 2;
      return (i % total * (step % total) + options().seed) % total;
    }
  }
  return i;
}

// The block whose thread runs next; null when no thread can run. has_yielded: the last one could have run on.
Block* next_block(bool has_yielded = false) {
  auto& [first, second] = grid().blocks;
  if (first.ready.empty() || second.ready.empty()) return !first.ready.empty() ? &first : !second.ready.empty() ? &second : nullptr;
  Block& older = first.sequence < second.sequence ? first : second;
  Block& younger = &older == &first ? second : first;
  switch (options().order) {
    case Order::forward: return &older;
    case Order::reverse: return &younger;
    case Order::random: return grid().dice.below(2) ? &older : &younger;
    case Order::pct: {
      // NOTE: often where a thread yields: between an atomic, a fence or a copy and what follows lie the races of blocks.
      bool& is_older_first = grid().is_older_first;
      if (grid().dice.below(has_yielded ? 2 : 64) == 0) is_older_first = !is_older_first;
      return is_older_first ? &older : &younger;
    }
  }
  return &older;
}

void enter(Thread& thread) {
  if (!current || current->block != thread.block) blockIdx = thread.block->index;
  current = &thread;
  threadIdx = thread.index;
}

// ---- the life of a thread ----

// For a thread of a launch that has failed: it ends here, and what it did lies before what the host does next.
void leave_if_abandoned() {
  if constexpr (sanitizer::kSeesRaces) {
    if (!grid().is_abandoning) return;
    sanitizer::release(&grid().end_token);
    switch_fiber(current->fiber, grid().host, true);
    __builtin_trap();
  }
}

void exit_thread() {
  Grid& running = grid();
  Block& block = *current->block;
  async_finish();
  sanitizer::release(&running.end_token);
  sanitizer::release(&block.reuse_tokens[block.reuses % 2]);
  current->state = Thread::State::exited;
  --block.running;
  if (block.running && block.waiting) {
    std::string report = "divergent barrier: " + name_of(*current) + " exited while " + std::to_string(block.waiting) +
                         " threads of its block wait in __syncthreads at " + text_of(block.barrier_where);
    abort_launch(std::move(report));
  }
  Thread& last = *current;
  Block* next = block.is_active() ? next_block() : nullptr;
  if (!next) {
    switch_fiber(last.fiber, running.host, true);
  } else {
    Thread& thread = next->take_next();
    enter(thread);
    switch_fiber(last.fiber, thread.fiber, true);
  }
  __builtin_trap();
}

void thread_entry() {
  sanitizer::arrive(nullptr);
  Grid& running = grid();
  leave_if_abandoned();
  sanitizer::acquire(&running.begin_token);
  sanitizer::acquire(&current->block->reuse_tokens[(current->block->reuses + 1) % 2]);
  running.launch->invoke(running.launch->arguments);
  exit_thread();
}

void name_for_reports(Thread& thread) { sanitizer::name_tsan_fiber(thread.fiber.tsan_fiber, ("CUDA thread " + std::to_string(thread.rank)).c_str()); }

void begin_block(Block& block) {
  Grid& running = grid();
  const dim3 &blocks = running.launch->grid, &size = running.launch->block;
  const std::uint64_t number = block_number(running.begun, running.total);
  block.sequence = running.begun++;
  block.index = {static_cast<unsigned>(number % blocks.x), static_cast<unsigned>(number / blocks.x % blocks.y),
                 static_cast<unsigned>(number / blocks.x / blocks.y)};
  block.size = block.running = size.x * size.y * size.z;
  ++block.reuses;
  block.waiting = 0;
  block.true_votes = 0;
  block.all_votes = 1;
  block.ready.clear();
  block.shared.reset(running.launch->shared_bytes);

  // Priorities for pct: a random permutation.
  block.dice = Dice(options().seed * 0x9E3779B97F4A7C15ull + number);
  block.first_lane = block.dice.below(32);
  for (unsigned warp = 0; warp < block.warps(); ++warp) {
    block.warps_by_priority[warp] = static_cast<std::uint8_t>(warp);
    std::swap(block.warps_by_priority[warp], block.warps_by_priority[block.dice.below(warp + 1)]);
  }

  while (block.threads.size() < block.size) {
    auto& thread = block.threads.emplace_back(std::make_unique<Thread>());
    thread->block = &block;
    thread->rank = static_cast<unsigned>(block.threads.size() - 1);
    create(thread->fiber, kStackBytes);
    name_for_reports(*thread);
  }
  unsigned rank = 0;
  for (unsigned z = 0; z < size.z; ++z) {
    for (unsigned y = 0; y < size.y; ++y) {
      for (unsigned x = 0; x < size.x; ++x, ++rank) {
        Thread& thread = *block.threads[rank];
        thread.index = {x, y, z};
        thread.copies.clear();
        thread.groups = 0;
        thread.pieces_carved = 0;
        prepare(thread.fiber, thread_entry, rank);
        block.make_ready(thread);
      }
    }
  }
  counting->blocks += 1;
  counting->threads += block.size;
}

// ---- failures ----

std::string deadlock_report(const Block& block) {
  std::size_t at_barrier = 0, in_collective = 0;
  std::string places;
  for (unsigned rank = 0; rank < block.size; ++rank) {
    const Thread& thread = *block.threads[rank];
    const bool is_at_barrier = thread.state == Thread::State::at_barrier, is_in_collective = thread.state == Thread::State::in_collective;
    at_barrier += is_at_barrier;
    in_collective += is_in_collective;
    if (!is_at_barrier && !is_in_collective) continue;
    const std::string place = std::string(is_at_barrier ? "__syncthreads" : thread.collective->name) + " at " + text_of(thread.where);
    if (places.find(place) == std::string::npos) places += "\n  the first that waits in " + place + ": " + name_of(thread);
  }
  return "deadlock: of " + std::to_string(block.size) + " threads " + std::to_string(at_barrier) + " wait at a barrier, " + std::to_string(in_collective) +
         " in a warp collective, " + std::to_string(block.size - block.running) + " have exited" + places;
}

void end_block(Block& block) {
  // NOTE: with AddressSanitizer the write itself was reported already.
  if (const void* byte = block.shared.overrun()) {
    grid().report = "a thread of block (" + std::to_string(block.index.x) + "," + std::to_string(block.index.y) + "," + std::to_string(block.index.z) +
                    ") wrote behind an array of shared memory, at shared address " + std::to_string(block.shared.address(byte)) +
                    "; a build with AddressSanitizer names the line";
  }
}

// NOTE: for ThreadSanitizer every thread is woken once more, to say that it is done with the memory it used.
void abandon_all() {
  grid().is_abandoning = true;
  for (Block& block : grid().blocks) {
    for (unsigned rank = 0; rank < block.size; ++rank) {
      Thread& thread = *block.threads[rank];
      const bool is_left_in_the_middle = thread.state != Thread::State::exited;
      if (sanitizer::kSeesRaces && is_left_in_the_middle && &thread != grid().failed) {
        current = &thread;
        switch_fiber(grid().host, thread.fiber);
      }
      if (is_left_in_the_middle) {
        abandon(thread.fiber);
        name_for_reports(thread);
      }
      thread.state = Thread::State::exited;
      thread.copies.clear();
    }
    block.running = 0;
    block.ready.clear();
  }
  grid().is_abandoning = false;
  grid().failed = nullptr;
}

}  // namespace

std::string name_of(const Thread& thread) {
  const auto text = [](const uint3& index) { return "(" + std::to_string(index.x) + "," + std::to_string(index.y) + "," + std::to_string(index.z) + ")"; };
  return "thread " + text(thread.index) + " of block " + text(thread.block->index);
}

void suspend() {
  Thread& leaving = *current;
  Block* block = next_block(leaving.state == Thread::State::ready);
  counting->switches += 1;
  if (!block) {
    switch_fiber(leaving.fiber, grid().host);
  } else {
    Thread& next = block->take_next();
    if (&next == &leaving) return;
    enter(next);
    switch_fiber(leaving.fiber, next.fiber);
  }
  leave_if_abandoned();
}

void abort_launch(std::string report) {
  grid().report = std::move(report);
  grid().failed = current;
  sanitizer::release(&grid().end_token);
  switch_fiber(current->fiber, grid().host);
  __builtin_trap();
}

std::string run_grid(Grid& running, const Launch& launch, Counters& counters) {
  running_grid = &running;
  adopt_thread(running.host);
  running.launch = &launch;
  running.total = std::uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  running.begun = 0;
  running.dice = Dice(options().seed);
  running.is_older_first = true;
  // NOTE: with its memory, which a moved report would leave with a thread that is abandoned.
  std::string().swap(running.report);
  gridDim = launch.grid;
  blockDim = launch.block;
  counting = &counters;
  counters.launches += 1;
  current = nullptr;

  sanitizer::release(&running.begin_token);
  const std::size_t in_flight = std::clamp<std::size_t>(static_cast<std::size_t>(options().blocks_in_flight), 1, running.blocks.size());
  const auto begin_waiting_blocks = [&] {
    for (std::size_t slot = 0; slot < in_flight; ++slot) {
      if (!running.blocks[slot].is_active() && running.begun < running.total) begin_block(running.blocks[slot]);
    }
  };
  for (begin_waiting_blocks(); Block* block = next_block(); begin_waiting_blocks()) {
    Thread& next = block->take_next();
    current = nullptr;
    enter(next);
    switch_fiber(running.host, next.fiber);
    // Back here: a block has ended, or nothing can run, or something failed.
    if (!running.report.empty()) break;
    if (!current->block->is_active()) {
      accesses::end_block(*current->block);
      end_block(*current->block);
    }
    if (!running.report.empty()) break;
  }
  for (const Block& block : running.blocks) {
    if (running.report.empty() && block.is_active()) running.report = deadlock_report(block);
  }
  if (!running.report.empty()) abandon_all();
  sanitizer::acquire(&running.end_token);
  current = nullptr;
  return running.report;
}

}  // namespace isda::emulator
