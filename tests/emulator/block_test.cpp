// SPDX-License-Identifier: Apache-2.0
// A block in flight: its barriers and warp collectives, what is told when they cannot be met, its shared memory.
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/common/ptx.cuh"
#include "kernels/common/simt.cuh"
#include "tests/emulator/emulated_card.h"
#include "tests/emulator/on_card.h"
#include "tests/kernels/emulated_orders.h"

namespace isda {
namespace {

// A line of this file, as reports write it.
std::string place(int line) { return "tests/emulator/block_test.cpp:" + std::to_string(line); }

class Blocks : public EmulatedCard {
 protected:
  // Launches, and waits.
  template <class... Parameters, class... Arguments>
  static void run(dim3 grid, dim3 block, void (*kernel)(Parameters...), const Arguments&... arguments) {
    run({.name = "kernel", .grid = grid, .block = block}, kernel, arguments...);
  }
  template <class... Parameters, class... Arguments>
  static void run(const LaunchShape& shape, void (*kernel)(Parameters...), const Arguments&... arguments) {
    const Context context(Device::cuda);
    launch(context, shape, kernel, arguments...);
    context.synchronise();
  }
};

// ---- barriers ----

__global__ void phases_kernel(unsigned* arrived, unsigned* wrong, unsigned phases) {
  for (unsigned phase = 1; phase <= phases; ++phase) {
    atomicAdd(arrived, 1u);
    __syncthreads();
    if (*arrived != phase * blockDim.x) atomicAdd(wrong, 1u);
    __syncthreads();
  }
}

TEST_F(Blocks, NobodyLeavesABarrierBeforeAllHaveCome) {
  for_each_order([](const std::string& order) {
    for (const unsigned threads : {1u, 31u, 64u, 1024u}) {
      const OnCard arrived(std::vector<unsigned>{0}), wrong(std::vector<unsigned>{0});
      run(1, threads, phases_kernel, arrived, wrong, 2u);
      EXPECT_EQ(arrived.read()[0], 2 * threads) << order;
      EXPECT_EQ(wrong.read()[0], 0u) << order << ", " << threads << " threads";
    }
  });
}

constexpr int kTwoBarriers = __LINE__ + 1;
__global__ void two_barriers_kernel() { threadIdx.x < 3 ? __syncthreads() : __syncthreads(); }

// NOTE: on one line, since barriers are told apart by their column too.
TEST_F(Blocks, TwoBarriersAreNotOne) {
  EXPECT_EQ(report_of([] {
              run({2, 3}, {4, 2}, two_barriers_kernel);
            }),
            "kernel: divergent barrier: a __syncthreads while other threads of the block wait in the one at " + place(kTwoBarriers) +
                ", by thread (3,0,0) of block (0,0,0) at " + place(kTwoBarriers));
}

constexpr int kEarlyExit = __LINE__ + 3;
__global__ void early_exit_kernel() {
  if (threadIdx.x == 5) return;
  __syncthreads();
}

TEST_F(Blocks, AThreadThatHasExitedDoesNotComeToABarrier) {
  EXPECT_EQ(report_of([] { run(1, 40, early_exit_kernel); }),
            "kernel: divergent barrier: thread (5,0,0) of block (0,0,0) exited while 5 threads of its block wait in __syncthreads at " + place(kEarlyExit));
  options.order = emulator::Order::reverse;
  EXPECT_EQ(report_of([] { run(1, 40, early_exit_kernel); }),
            "kernel: divergent barrier: thread (5,0,0) of block (0,0,0) exited while 34 threads of its block wait in __syncthreads at " + place(kEarlyExit));
}

constexpr int kFirstExits = __LINE__ + 3;
__global__ void first_exits_kernel() {
  if (threadIdx.x == 0) return;
  __syncthreads();
}

TEST_F(Blocks, ABarrierBehindAnExitIsReportedByWhoComesToIt) {
  EXPECT_EQ(
      report_of([] { run(1, 40, first_exits_kernel); }),
      "kernel: divergent barrier: __syncthreads after other threads of the block have exited, by thread (1,0,0) of block (0,0,0) at " + place(kFirstExits));
}

constexpr int kDeadlock = __LINE__ + 2;
__global__ void deadlock_kernel() {
  if (threadIdx.y == 1) __syncthreads();
  if (threadIdx.y == 0) __syncwarp();
}

TEST_F(Blocks, ADeadlockTellsWhoWaitsWhere) {
  EXPECT_EQ(report_of([] {
              run({1, 2}, {16, 2}, deadlock_kernel);
            }),
            "kernel: deadlock: of 32 threads 16 wait at a barrier, 16 in a warp collective, 0 have exited"
            "\n  the first that waits in __syncwarp at " +
                place(kDeadlock + 1) + ": thread (0,0,0) of block (0,0,0)" + "\n  the first that waits in __syncthreads at " + place(kDeadlock) +
                ": thread (0,1,0) of block (0,0,0)");
}

// ---- warp collectives ----

constexpr int kExitedLane = __LINE__ + 3;
__global__ void exited_lane_kernel() {
  if (threadIdx.x == 33) return;
  __ballot_sync(kAllLanes, 1);
}

TEST_F(Blocks, ALaneThatHasExitedDoesNotComeToACollective) {
  options.order = emulator::Order::reverse;
  // Lanes 63 to 34 wait; 33 exits; 32 asks for all.
  EXPECT_EQ(report_of([] { run(1, 64, exited_lane_kernel); }),
            "kernel: __ballot_sync names a lane that has exited, by thread (32,0,0) of block (0,0,0) at " + place(kExitedLane));
}

constexpr int kOtherMask = __LINE__ + 2;
__global__ void other_mask_kernel() {
  __any_sync(threadIdx.x == 7 ? 0x80u : 0xffffffffu, 1);
  if (threadIdx.x == 7) __any_sync(0x81u, 1);
}

TEST_F(Blocks, AnotherMaskIsAnotherCollective) {
  EXPECT_EQ(report_of([] { run(1, 32, other_mask_kernel); }), "kernel: __any_sync while lane 0 of its mask waits in __any_sync with another mask at " +
                                                                  place(kOtherMask) + ", by thread (7,0,0) of block (0,0,0) at " + place(kOtherMask + 1));
}

constexpr int kPartialWarp = __LINE__ + 4;
__global__ void partial_warp_kernel() {
  float d[4] = {};
  const std::uint32_t a[4] = {}, b[2] = {};
  ptx::mma_m16n8k8_tf32(d, a, b);
}

TEST_F(Blocks, TensorCoresNeedWholeWarps) {
  EXPECT_EQ(report_of([] { run(1, 48, partial_warp_kernel); }),
            "kernel: mma.m16n8k8.tf32 in a warp of fewer than 32 threads, by thread (32,0,0) of block (0,0,0) at " + place(kPartialWarp));
}

// NOTE: a mask of all lanes means those that exist.
__global__ void ragged_warp_kernel(unsigned* votes, float* neighbours) {
  votes[threadIdx.x] = __ballot_sync(kAllLanes, 1);
  neighbours[threadIdx.x] = __shfl_down_sync(kAllLanes, static_cast<float>(threadIdx.x), 1);
}

TEST_F(Blocks, TheLastWarpMayBeShort) {
  for_each_order([](const std::string& order) {
    const OnCard<unsigned> votes(45);
    const OnCard<float> neighbours(45);
    run(1, 45, ragged_warp_kernel, votes, neighbours);
    for (unsigned i = 0; i < 45; ++i) {
      EXPECT_EQ(votes.read()[i], i < 32 ? 0xffffffffu : 0x1fffu) << order;
      const float expected = i == 31 ? 31 : static_cast<float>(i + 1);
      // Lane 12 of the second warp reads from a lane that does not exist: poison.
      if (i == 44) {
        EXPECT_TRUE(std::isnan(neighbours.read()[i])) << order;
      } else {
        EXPECT_EQ(neighbours.read()[i], expected) << order;
      }
    }
  });
}

// NOTE: under ThreadSanitizer too the halves have nothing to do with each other, in whatever order they come.
__global__ void halves_kernel(unsigned* y) {
  SIMT_SHARED(values, unsigned[kWarp]);
  const unsigned mask = threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u;
  for (unsigned turn = 0; turn < 4; ++turn) {
    values[threadIdx.x] = 100 * turn + threadIdx.x;
    __syncwarp(mask);
    y[32 * turn + threadIdx.x] = values[threadIdx.x ^ 5];
    __syncwarp(mask);
  }
}

TEST_F(Blocks, HalvesOfAWarpWaitForThemselves) {
  for_each_order([](const std::string& order) {
    const OnCard<unsigned> y(128);
    run(1, 32, halves_kernel, y);
    const std::vector<unsigned> seen = y.read();
    for (unsigned i = 0; i < 128; ++i) EXPECT_EQ(seen[i], i / 32 * 100 + (i % 32 ^ 5)) << order;
  });
}

// ---- shared memory ----

template <int which>
__device__ float& cell() {
  SIMT_SHARED(value, float);
  return value;
}

__global__ void poison_kernel(float* found, std::uintptr_t* addresses) {
  SIMT_SHARED(tile, float[64]);
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  found[i] = tile[threadIdx.x];
  addresses[2 * i] = reinterpret_cast<std::uintptr_t>(tile);
  for (int turn = 0; turn < 2; ++turn) {
    SIMT_SHARED(other, float[64]);
    if (turn == 1) addresses[2 * i + 1] = reinterpret_cast<std::uintptr_t>(other) + (&other[0] == &tile[0]);
  }
  __syncthreads();
  tile[threadIdx.x] = 1;
}

TEST_F(Blocks, SharedMemoryIsPoisonInEveryBlockAndOneForAllThreads) {
  for_each_order([](const std::string& order) {
    constexpr unsigned kBlocks = 5, kThreads = 64;
    const OnCard<float> found(kBlocks * kThreads);
    const OnCard<std::uintptr_t> addresses(2 * kBlocks * kThreads);
    run(kBlocks, kThreads, poison_kernel, found, addresses);
    const std::vector<float> values = found.read();
    const std::vector<std::uintptr_t> all = addresses.read();
    for (unsigned i = 0; i < kBlocks * kThreads; ++i) {
      ASSERT_TRUE(std::isnan(values[i])) << order << ": what a block before left is found by the next";
      const unsigned first = i / kThreads * kThreads;
      ASSERT_EQ(all[2 * i], all[2 * first]) << order;
      ASSERT_EQ(all[2 * i + 1], all[2 * first + 1]) << order;
      ASSERT_GE(std::max(all[2 * i], all[2 * i + 1]) - std::min(all[2 * i], all[2 * i + 1]), 64 * sizeof(float)) << order << ": two arrays overlap";
    }
  });
}

__global__ void cells_kernel(float* y) {
  if (threadIdx.x == 0) {
    cell<0>() = 1;
    cell<1>() = 2;
  }
  __syncthreads();
  y[threadIdx.x] = 10 * cell<1>() + cell<0>();
}

TEST_F(Blocks, ADeviceFunctionsSharedVariableIsOneForEachInstance) {
  const OnCard<float> y(32);
  run(1, 32, cells_kernel, y);
  EXPECT_EQ(y.read(), std::vector<float>(32, 21));
}

constexpr int kUnequalPieces = __LINE__ + 3;
__global__ void unequal_pieces_kernel() {
  SharedCarver carver;
  carver.take<float>(threadIdx.x < 4 ? 16 : 8);
}

TEST_F(Blocks, AllThreadsMustCarveTheSamePieces) {
  EXPECT_EQ(report_of([] { run({.name = "kernel", .grid = 1, .block = 8, .shared_bytes = 64}, unequal_pieces_kernel); }),
            "kernel: threads carve dynamic shared memory into different pieces, by thread (4,0,0) of block (0,0,0) at " + place(kUnequalPieces));
}

__global__ void large_pieces_kernel(float* y) {
  SharedCarver carver;
  float* all = carver.take<float>(227 * 256);
  for (unsigned i = threadIdx.x; i < 227 * 256; i += blockDim.x) all[i] = 1;
  __syncthreads();
  y[blockIdx.x * blockDim.x + threadIdx.x] = all[227 * 256 - 1 - threadIdx.x];
}

TEST_F(Blocks, AllOfTheDynamicSharedMemoryCanBeUsed) {
  const OnCard<float> y(2 * 32);
  run({.name = "kernel", .grid = 2, .block = 32, .shared_bytes = std::size_t{227} << 10}, large_pieces_kernel, y);
  EXPECT_EQ(y.read(), std::vector<float>(2 * 32, 1));
}

// ---- asynchronous copies ----

__global__ void groups_kernel(float* y, const float* x) {
  SIMT_SHARED(tile, float[2]);
  for (int group = 0; group < 2; ++group) {
    ptx::cp_async<4>(tile + group, x + group, true);
    ptx::cp_async_commit();
  }
  // NOTE: AddressSanitizer reports a read that comes before the wait (seeded bug read_before_async_wait).
#if !defined(ISDA_EMULATOR_ADDRESS)
  y[0] = tile[0];
#endif
  ptx::cp_async_wait<1>();
  y[1] = tile[0];
#if !defined(ISDA_EMULATOR_ADDRESS)
  y[2] = tile[1];
#endif
  ptx::cp_async_wait<0>();
  y[3] = tile[1];
}

TEST_F(Blocks, AsynchronousCopiesAreAsLateAsTheyMayBeOrAtOnce) {
  const OnCard<float> y(4), x(std::vector<float>{1, 2});
  run(1, 1, groups_kernel, y, x);
  const std::vector<float> late = y.read();
  EXPECT_TRUE(std::isnan(late[0]));
  EXPECT_EQ(late[1], 1);
  EXPECT_TRUE(std::isnan(late[2]));
  EXPECT_EQ(late[3], 2);
  options.late_async_copies = false;
  run(1, 1, groups_kernel, y, x);
  const std::vector<float> at_once = y.read();
#if !defined(ISDA_EMULATOR_ADDRESS)
  EXPECT_EQ(at_once[0], 1);
  EXPECT_EQ(at_once[2], 2);
#endif
  EXPECT_EQ(at_once[1], 1);
  EXPECT_EQ(at_once[3], 2);
}

// ---- after a failure ----

__global__ void fail_in_one_block_kernel(unsigned* begun, unsigned failing) {
  if (threadIdx.x == 0) atomicAdd(begun, 1u);
  __syncthreads();
  if (blockIdx.x == failing && threadIdx.x == 10) return;
  __syncthreads();
}

TEST_F(Blocks, AFailedLaunchLeavesNothingBehind) {
  for_each_order([](const std::string& order) {
    constexpr unsigned kNone = 100;
    const OnCard begun(std::vector<unsigned>{0});
    for (const unsigned failing : {0u, 3u}) {
      const std::string report = report_of([&] { run(4, 33, fail_in_one_block_kernel, begun, failing); });
      EXPECT_NE(report.find("of block (" + std::to_string(failing) + ",0,0)"), std::string::npos) << order << ": " << report;
      const unsigned before = begun.read()[0];
      run(4, 33, fail_in_one_block_kernel, begun, kNone);
      EXPECT_EQ(begun.read()[0], before + 4) << order;
    }
  });
}

}  // namespace
}  // namespace isda
