// SPDX-License-Identifier: Apache-2.0
// What emulating a card costs: nanoseconds, each as its name says.
//
//   isda_bench_emulator
//   goals on a desktop core: a switch 20 ns, __syncthreads 60 ns a thread
#include <benchmark/benchmark.h>

#include "kernels/common/cuda_device.h"
#include "kernels/common/ptx.cuh"
#include "kernels/common/simt.cuh"
#include "kernels/emulator/fiber.h"

namespace isda {
namespace {

constexpr int kTurns = 1000;

// ---- from fiber to fiber ----

emulator::Fiber host, other;

void go_back_forever() {
  for (;;) emulator::switch_fiber(other, host);
}

void fiber_switch(benchmark::State& state) {
  emulator::adopt_thread(host);
  emulator::create(other, 64 * 1024);
  emulator::prepare(other, go_back_forever, 0);
  for (auto _ : state) emulator::switch_fiber(host, other);
  // NOTE: there and back.
  state.counters["ns_a_switch"] = benchmark::Counter(2e-9 * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(fiber_switch);

// ---- within a kernel ----

__global__ void barrier_kernel() {
  for (int turn = 0; turn < kTurns; ++turn) __syncthreads();
}
__global__ void shuffle_kernel(float* y) {
  float value = static_cast<float>(threadIdx.x);
  for (int turn = 0; turn < kTurns; ++turn) value = __shfl_xor_sync(kAllLanes, value, 1 + turn % 31);
  y[threadIdx.x] = value;
}
__global__ void product_kernel(float* y) {
  float d[4] = {};
  const std::uint32_t a[4] = {threadIdx.x, 1, 2, 3}, b[2] = {4, 5};
  for (int turn = 0; turn < kTurns; ++turn) ptx::mma_m16n8k16_bf16(d, a, b);
  y[threadIdx.x] = d[0];
}
__global__ void copy_kernel(float* y, const float* x) {
  SIMT_SHARED(tile, float[128]);
  for (int turn = 0; turn < kTurns; ++turn) {
    ptx::cp_async<16>(tile + 4 * threadIdx.x, x + 4 * threadIdx.x, true);
    ptx::cp_async_commit();
    ptx::cp_async_wait<0>();
  }
  y[threadIdx.x] = tile[threadIdx.x];
}
__global__ void nothing_kernel() {}

// Launches over and over; `name` counts the nanoseconds for each of `count` in a launch.
template <class... Parameters, class... Arguments>
void time_kernel(benchmark::State& state, const char* name, double count, dim3 grid, dim3 block, void (*kernel)(Parameters...), Arguments... arguments) {
  const Context context(Device::cuda);
  for (auto _ : state) {
    launch(context, {.name = "bench", .grid = grid, .block = block}, kernel, arguments...);
    context.synchronise();
  }
  state.counters[name] = benchmark::Counter(1e-9 * count * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

// Memory of the card for the kernels to use, for the whole program.
float* card_memory() {
  static auto* memory = static_cast<float*>(cuda::allocate(4096));
  return memory;
}

void syncthreads(benchmark::State& state) {
  const auto threads = static_cast<unsigned>(state.range(0));
  time_kernel(state, "ns_a_thread", kTurns * static_cast<double>(threads), 1, threads, barrier_kernel);
}
BENCHMARK(syncthreads)->Arg(32)->Arg(256)->Arg(1024)->Unit(benchmark::kMillisecond);

void shuffle(benchmark::State& state) { time_kernel(state, "ns_a_lane", kTurns * 32.0, 1, 32, shuffle_kernel, card_memory()); }
BENCHMARK(shuffle)->Unit(benchmark::kMillisecond);

void mma_m16n8k16(benchmark::State& state) { time_kernel(state, "ns_a_warp", kTurns, 1, 32, product_kernel, card_memory()); }
BENCHMARK(mma_m16n8k16)->Unit(benchmark::kMillisecond);

void cp_async_16_bytes(benchmark::State& state) { time_kernel(state, "ns_a_copy", kTurns * 32.0, 1, 32, copy_kernel, card_memory(), card_memory() + 512); }
BENCHMARK(cp_async_16_bytes)->Unit(benchmark::kMillisecond);

void empty_threads(benchmark::State& state) { time_kernel(state, "ns_a_thread", 1000.0 * 256, 1000, 256, nothing_kernel); }
BENCHMARK(empty_threads)->Unit(benchmark::kMillisecond);

void empty_launch(benchmark::State& state) { time_kernel(state, "ns_a_launch", 1, 1, 1, nothing_kernel); }
BENCHMARK(empty_launch);

}  // namespace
}  // namespace isda

BENCHMARK_MAIN();
