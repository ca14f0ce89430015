// SPDX-License-Identifier: Apache-2.0
// The emulated card as the host sees it: memory, copies, limits, errors that stay, counters.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <thread>

#include "kernels/common/ptx.cuh"
#include "kernels/common/simt.cuh"
#include "tests/emulator/emulated_card.h"
#include "tests/emulator/on_card.h"

namespace isda {
namespace {

class Card : public EmulatedCard {
 protected:
  // Forgets the last error, and tells what was said of it.
  static std::string story() {
    cudaGetLastError();
    return emulator::last_report();
  }
  static std::size_t free_bytes() {
    std::size_t free = 0, total = 0;
    EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
    return free;
  }
};

// ---- memory ----

TEST_F(Card, CountsEveryByteOfEveryAllocation) {
  const std::size_t before = free_bytes();
  void *a = nullptr, *b = nullptr;
  ASSERT_EQ(cudaMalloc(&a, 1000), cudaSuccess);
  ASSERT_EQ(cudaMalloc(&b, 1), cudaSuccess);
  EXPECT_EQ(free_bytes(), before - 1001);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a) % 256, 0u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b) % 256, 0u);
  EXPECT_EQ(cudaFree(a), cudaSuccess);
  EXPECT_EQ(cudaFree(b), cudaSuccess);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  EXPECT_EQ(free_bytes(), before);
}

TEST_F(Card, IsFullWhenItsBytesAreTaken) {
  options.device_bytes = 1 << 20;
  void *most = nullptr, *more = &most;
  ASSERT_EQ(cudaMalloc(&most, (1 << 20) - 100), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&more, 101), cudaErrorMemoryAllocation);
  EXPECT_EQ(more, nullptr);
  EXPECT_EQ(story(), "cudaMalloc: the emulated card is full");
  ASSERT_EQ(cudaMalloc(&more, 100), cudaSuccess);
  EXPECT_EQ(free_bytes(), 0u);
  EXPECT_EQ(cudaFree(more), cudaSuccess);
  EXPECT_EQ(cudaFree(most), cudaSuccess);
}

TEST_F(Card, FreesOnlyWhatItGave) {
  int on_the_host = 0;
  EXPECT_EQ(cudaFree(&on_the_host), cudaErrorInvalidValue);
  EXPECT_EQ(story(), "cudaFree: the pointer was not allocated on the card, or freed before");
  const OnCard<float> x(8);
  EXPECT_EQ(cudaFree(x + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(x), cudaErrorInvalidValue);
  EXPECT_EQ(story(), "cudaFreeHost: the pointer is not page-locked memory");
}

TEST_F(Card, NewMemoryIsPoison) {
  for (int turn = 0; turn < 2; ++turn) {
    const OnCard<float> x(1000);
    for (const float value : x.read()) ASSERT_TRUE(std::isnan(value));
    EXPECT_EQ(cudaMemsetAsync(x, 0, 1000 * sizeof(float), nullptr), cudaSuccess);
    EXPECT_EQ(x.read(), std::vector<float>(1000, 0));
  }
  auto* pinned = static_cast<float*>(cuda::allocate_pinned(100 * sizeof(float)));
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(std::isnan(pinned[i]));
  cuda::release_pinned(pinned);
}

TEST_F(Card, CopiesAreCheckedForDirectionAndSize) {
  const OnCard<float> a(16), b(16);
  std::vector<float> host(32, 1);
  constexpr std::size_t kBytes = 16 * sizeof(float);
  const auto copy = [](void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
    return cudaMemcpyAsync(to, from, bytes, kind, nullptr) == cudaSuccess ? std::string() : story();
  };
  EXPECT_EQ(copy(a, host.data(), kBytes, cudaMemcpyHostToDevice), "");
  EXPECT_EQ(copy(b, a, kBytes, cudaMemcpyDeviceToDevice), "");
  EXPECT_EQ(copy(host.data(), b, kBytes, cudaMemcpyDeviceToHost), "");
  EXPECT_EQ(copy(host.data(), host.data() + 16, kBytes, cudaMemcpyHostToHost), "");
  EXPECT_EQ(copy(host.data(), b, kBytes, cudaMemcpyDefault), "");
  EXPECT_EQ(copy(a, host.data(), 0, cudaMemcpyDeviceToHost), "") << "nothing to copy";
  EXPECT_EQ(copy(a, b, kBytes, cudaMemcpyHostToDevice), "cudaMemcpyAsync: the source is memory of the card");
  EXPECT_EQ(copy(host.data(), a, kBytes, cudaMemcpyHostToDevice), "cudaMemcpyAsync: the destination is not memory of the card");
  EXPECT_EQ(copy(a, b, kBytes, cudaMemcpyDeviceToHost), "cudaMemcpyAsync: the destination is memory of the card");
  EXPECT_EQ(copy(host.data(), host.data() + 16, kBytes, cudaMemcpyDeviceToHost), "cudaMemcpyAsync: the source is not memory of the card");
  EXPECT_EQ(copy(a, host.data(), kBytes, cudaMemcpyDeviceToDevice), "cudaMemcpyAsync: both sides must be memory of the card");
  EXPECT_EQ(copy(a, host.data(), kBytes + 1, cudaMemcpyHostToDevice), "cudaMemcpyAsync: the destination is smaller than what is copied");
  EXPECT_EQ(copy(a + 1, b, kBytes, cudaMemcpyDeviceToDevice), "cudaMemcpyAsync: the destination is smaller than what is copied");
  EXPECT_EQ(copy(a, b + 1, kBytes, cudaMemcpyDeviceToDevice), "cudaMemcpyAsync: the source is smaller than what is copied");
  EXPECT_EQ(cudaMemsetAsync(a, 0, kBytes + 1, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(story(), "cudaMemsetAsync: the range is not memory of the card");
  cuda::synchronise(nullptr);
}

// ---- launches ----

__global__ void nothing_kernel() {}

TEST_F(Card, RefusesWhatNoCardCanLaunch) {
  const auto launched = [](dim3 grid, dim3 block, std::size_t shared_bytes = 0) {
    try {
      const Context context(Device::cuda);
      launch(context, {.name = "nothing", .grid = grid, .block = block, .shared_bytes = shared_bytes}, nothing_kernel);
      context.synchronise();
      return std::string();
    } catch (const Error& error) {
      const std::string message = error.what();
      return message.substr(message.rfind(": ") + 2);
    }
  };
  EXPECT_EQ(launched(1, 1024), "");
  EXPECT_EQ(launched(1, {16, 8, 8}), "");
  EXPECT_EQ(launched(1, {1, 1, 64}), "");
  EXPECT_EQ(launched({1, 65535}, 1), "");
  EXPECT_EQ(launched(1, 1, std::size_t{227} << 10), "");
  EXPECT_EQ(launched(1, {1, 1, 65}), "a block of more than 1024 threads");
  EXPECT_EQ(launched(1, {33, 32}), "a block of more than 1024 threads");
  EXPECT_EQ(launched(1, {1 << 16, 1 << 16}), "a block of more than 1024 threads");
  EXPECT_EQ(launched({1, 65536}, 1), "a grid of more than 2^31-1 x 65535 x 65535 blocks");
  EXPECT_EQ(launched({1, 1, 65536}, 1), "a grid of more than 2^31-1 x 65535 x 65535 blocks");
  EXPECT_EQ(launched(0x80000000u, 1), "a grid of more than 2^31-1 x 65535 x 65535 blocks");
  EXPECT_EQ(launched({1, 0}, 1), "a grid or block without threads");
  EXPECT_EQ(launched(1, {1, 1, 0}), "a grid or block without threads");
  EXPECT_EQ(launched(1, 1, (std::size_t{227} << 10) + 1), "more than 227 KiB of shared memory");
}

TEST_F(Card, SaysWhatItIs) {
  cudaDeviceProp properties{};
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  EXPECT_STREQ(properties.name, "emulated CUDA device");
  EXPECT_EQ(properties.warpSize, 32);
  EXPECT_EQ(properties.maxThreadsPerBlock, 1024);
  EXPECT_EQ(properties.sharedMemPerBlockOptin, std::size_t{227} << 10);
  EXPECT_TRUE(cuda::card().is_emulated);
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
}

// ---- errors ----

__global__ void fail_kernel() {
  if (threadIdx.x == 0) __syncwarp(2);
}

__global__ void one_kernel(float* y) { *y = 1; }

TEST_F(Card, AFailureOfAKernelStaysUntilTheDeviceIsReset) {
  const OnCard<float> y(1);
  {
    const Context context(Device::cuda), other(Device::cuda);
    launch(context, {.name = "fail", .grid = 1, .block = 32}, fail_kernel);
    EXPECT_THROW(context.synchronise(), Error);
    const std::string report = emulator::last_report();
    EXPECT_EQ(report.find("fail: __syncwarp by a lane that is not in its mask, by thread (0,0,0) of block (0,0,0) at "), 0u) << report;
    // Nothing runs any more, on no stream, and every call says why.
    EXPECT_THROW(launch(other, {.name = "one", .grid = 1, .block = 1}, one_kernel, y), Error);
    EXPECT_EQ(emulator::last_report(), report);
    EXPECT_THROW(other.synchronise(), Error);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
    EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
    EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure) << "it stays";
    EXPECT_EQ(emulator::last_report(), report);
  }
  emulator::reset_device();
  EXPECT_EQ(emulator::last_report(), "");
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_TRUE(std::isnan(y.read()[0]));
  const Context context(Device::cuda);
  launch(context, {.name = "one", .grid = 1, .block = 1}, one_kernel, y);
  context.synchronise();
  EXPECT_EQ(y.read()[0], 1);
}

TEST_F(Card, AWrongCallIsToldOnceAndForgotten) {
  EXPECT_EQ(cudaSetDevice(7), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
}

__global__ void write_at_kernel(float* y, int index) { y[index] = 1; }

TEST_F(Card, WritesBesideAnAllocationAreFound) {
#if defined(ISDA_EMULATOR_ADDRESS)
  GTEST_SKIP() << "AddressSanitizer ends the process at the line";
#endif
  const OnCard<float> y(10);
  const auto run = [&](int index) {
    const Context context(Device::cuda);
    launch(context, {.name = "write_at", .grid = 1, .block = 1}, write_at_kernel, y, index);
    context.synchronise();
  };
  run(0);
  run(9);
  EXPECT_EQ(report_of([&] { run(10); }), "write_at: the kernel wrote at byte 40 of an allocation of 40 bytes; a build with AddressSanitizer names the line");
  EXPECT_EQ(report_of([&] { run(-2); }), "write_at: the kernel wrote at byte -8 of an allocation of 40 bytes; a build with AddressSanitizer names the line");
  run(5);  // the damage is told once
}

TEST_F(Card, KernelsGetOnlyPointersToTheCard) {
  const Context context(Device::cuda);
  const auto run = [&](float* y) {
    launch(context, {.name = "write_at", .grid = 1, .block = 1}, write_at_kernel, y, 0);
    context.synchronise();
  };
  float on_the_host = 0;
  const std::string expected = "write_at: argument 1 is a pointer to memory that is not the card's: the host's, or freed";
  EXPECT_EQ(report_of([&] { run(&on_the_host); }), expected);
  float* freed = OnCard<float>(1);
  EXPECT_EQ(report_of([&] { run(freed); }), expected);
  EXPECT_EQ(on_the_host, 0);
  // Page-locked memory of the host can be reached by the card.
  auto* pinned = static_cast<float*>(cuda::allocate_pinned(sizeof(float)));
  run(pinned);
  EXPECT_EQ(*pinned, 1);
  cuda::release_pinned(pinned);
}

// ---- several threads of the host ----

TEST_F(Card, ThreadsOfTheHostTakeTurns) {
  std::vector<std::thread> threads;
  std::vector<float> sums(4);
  for (std::size_t thread = 0; thread < sums.size(); ++thread) {
    threads.emplace_back([&sums, thread] {
      const Context context(Device::cuda);
      for (int turn = 0; turn < 10; ++turn) {
        const OnCard<float> y(1);
        launch(context, {.name = "one", .grid = 1, .block = 1}, one_kernel, y);
        context.synchronise();
        sums[thread] += y.read()[0];
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sums, std::vector<float>(4, 10));
}

// ---- counters ----

__global__ void counted_kernel(float* y, const __nv_bfloat16* x) {
  // NOTE: 128 bytes a row: the eight rows of a matrix lie in the same banks.
  SIMT_SHARED(tile, __nv_bfloat16[8][64]);
  if (threadIdx.x < 8) ptx::cp_async<16>(tile[threadIdx.x], x + 8 * threadIdx.x, threadIdx.x < 6);
  ptx::cp_async_commit();
  ptx::cp_async_wait<0>();
  __syncthreads();
  std::uint32_t a[4] = {}, b[2] = {}, row[1];
  float d[4] = {};
  ptx::ldmatrix_x1(row, tile[threadIdx.x % 8]);
  ptx::mma_m16n8k16_bf16(d, a, b);
  y[blockIdx.x * blockDim.x + threadIdx.x] = warp_sum(d[0] + static_cast<float>(row[0] * 0));
  __syncthreads();
}

TEST_F(Card, CountsWhatKernelsDo) {
  const OnCard<float> y(3 * 64);
  const OnCard<bf16> x(std::vector<bf16>(64));
  const Context context(Device::cuda);
  for (int i = 0; i < 2; ++i) {
    launch(context, {.name = "counted", .grid = 3, .block = 64}, counted_kernel, y, reinterpret_cast<const __nv_bfloat16*>(static_cast<bf16*>(x)));
  }
  launch(context, {.name = "nothing", .grid = {2, 2}, .block = 33}, nothing_kernel);
  context.synchronise();
  const auto counters = emulator::counters();
  ASSERT_EQ(counters.size(), 2u);
  const emulator::Counters& counted = counters.at("counted");
  EXPECT_EQ(counted.launches, 2u);
  EXPECT_EQ(counted.blocks, 6u);
  EXPECT_EQ(counted.threads, 6u * 64);
  EXPECT_EQ(counted.barriers, 6u * 2);
  EXPECT_EQ(counted.tensor_products, 6u * 2);
  EXPECT_EQ(counted.warp_collectives, 6u * 2 * (1 + 1 + 5)) << "ldmatrix, mma, five shuffles";
  EXPECT_EQ(counted.async_copy_bytes, 6u * 6 * 16) << "zeros are not read";
  EXPECT_EQ(counted.ldmatrix_reads, 6u * 2);
  EXPECT_EQ(counted.ldmatrix_conflicts, 6u * 2 * 7);
  EXPECT_GT(counted.switches, 6u * 64);
  EXPECT_EQ(counters.at("nothing").threads, 4u * 33);
  EXPECT_EQ(counters.at("nothing").switches, 0u);
  emulator::reset_counters();
  EXPECT_TRUE(emulator::counters().empty());
}

}  // namespace
}  // namespace isda
