// SPDX-License-Identifier: Apache-2.0
// One block in flight: its threads, which of them can run, who waits where, its shared memory. Inside the emulator only.
#pragma once
#include <array>
#include <bit>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/emulator/device.h"
#include "kernels/emulator/emulator.h"
#include "kernels/emulator/fiber.h"
#include "kernels/emulator/shared_memory.h"

namespace isda::emulator {

struct Block;

// A copy that was asked for by cp.async and is not there yet.
struct AsyncCopy {
  void* to;
  const void* from;
  unsigned bytes, source_bytes, group;
};

struct Thread {
  enum class State : std::uint8_t { ready, at_barrier, in_collective, exited };

  Fiber fiber;
  Block* block = nullptr;
  uint3 index{};
  unsigned rank = 0;  // x fastest, as the hardware forms warps
  State state = State::exited;
  // While it waits: where, in what, with whom, and its operands.
  Location where;
  unsigned mask = 0;
  const Collective* collective = nullptr;
  void* operands = nullptr;
  // cp.async: what is on its way, and the number of groups committed.
  std::vector<AsyncCopy> copies;
  unsigned groups = 0;
  std::size_t pieces_carved = 0;

  unsigned lane() const { return rank & 31; }
};

// Numbers for the random orders: splitmix64.
class Dice {
 public:
  explicit Dice(std::uint64_t seed = 1) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  unsigned below(unsigned count) { return static_cast<unsigned>(next() % count); }

 private:
  std::uint64_t state_;
};

// The threads that can run, as one bit each.
class ReadySet {
 public:
  void clear() {
    words_.fill(0);
    count_ = 0;
  }
  bool empty() const { return count_ == 0; }
  void insert(unsigned rank) {
    words_[rank >> 6] |= std::uint64_t{1} << (rank & 63);
    ++count_;
  }
  void remove(unsigned rank) {
    words_[rank >> 6] &= ~(std::uint64_t{1} << (rank & 63));
    --count_;
  }
  // The lanes of a warp that can run.
  std::uint32_t warp(unsigned warp) const { return static_cast<std::uint32_t>(words_[warp >> 1] >> (32 * (warp & 1))); }
  // These three need a member.
  unsigned lowest() const;
  unsigned highest() const;
  unsigned from(unsigned rank) const;  // the first at or behind `rank`, going round

 private:
  std::array<std::uint64_t, 16> words_{};
  unsigned count_ = 0;
};

struct Block {
  uint3 index{};
  std::uint64_t sequence = 0;  // how many blocks of the grid were begun before it
  unsigned size = 0, running = 0;
  std::vector<std::unique_ptr<Thread>> threads;  // grown as needed, used again by the next block
  ReadySet ready;
  Dice dice;
  // pct: warps by falling priority, and the lane each of them begins with.
  std::array<std::uint8_t, 32> warps_by_priority{};
  unsigned first_lane = 0;

  // The barrier that is filling.
  unsigned waiting = 0, generation = 0;
  Location barrier_where;
  int true_votes = 0, all_votes = 1;
  int votes_count = 0, votes_all = 0, votes_any = 0;  // of the last one that was released

  SharedMemory shared;

  // ThreadSanitizer's objects. NOTE: three generations of barriers, since a thread may still leave one while another enters the next but one.
  using Token = sanitizer::Token;
  std::array<Token, 3> barrier_tokens{};
  // Of __syncwarp, for each warp by mask: lanes that wait for others than these have nothing to do with them.
  struct WarpOrder {
    unsigned generation = 0;
    std::array<Token, 2> tokens{};
  };
  std::array<std::map<unsigned, WarpOrder>, 32> warp_orders;
  Token fence_token{};
  // What the threads of a block leave, those of the next one in the same place find. NOTE: two in turn, since they must not find each other's.
  std::array<Token, 2> reuse_tokens{};
  unsigned reuses = 0;

  bool is_active() const { return running > 0; }
  unsigned warps() const { return (size + 31) / 32; }
  void make_ready(Thread& thread) {
    thread.state = Thread::State::ready;
    ready.insert(thread.rank);
  }
  // Takes the next thread to run out of the ready ones.
  Thread& take_next();
  // All threads that wait at the barrier may go on.
  void release_barrier();
};

// "thread (3,0,0) of block (1,0,0)"
std::string name_of(const Thread& thread);

// ---- the launch that is running (grid.cpp) ----

// The thread whose code is running.
extern Thread* current;
// Counters of the kernel that is running.
extern Counters* counting;

// Leaves the running thread, whose state says why, for another one; returns when it is scheduled again.
void suspend();
// All of the running thread's asynchronous copies arrive.
void async_finish();
// The running launch ends with this report. Does not return, and runs no destructors of the thread that calls it: leave no memory behind.
[[noreturn]] void abort_launch(std::string report);

}  // namespace isda::emulator
