// SPDX-License-Identifier: Apache-2.0
// Bugs of __syncthreads: missing, not reached by all, waited for in a circle.
#include "kernels/common/simt.cuh"
#include "tests/emulator/on_card.h"
#include "tests/emulator/seeded_bugs.h"

namespace isda::seeded {

namespace {

constexpr unsigned kThreads = 128, kBlocks = 3;

// ---- a reduction: each block sums two rows of kThreads, and every thread stores the sum it sees ----

enum class Barrier { none_missing, before_read, before_reuse };

template <Barrier missing>
__global__ void row_sums_kernel(float* sums, const float* x) {
  SIMT_SHARED(partial, float[kThreads / kWarp]);
  const unsigned warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  for (unsigned row = 2 * blockIdx.x; row < 2 * blockIdx.x + 2; ++row) {
    const float sum = warp_sum(x[row * kThreads + threadIdx.x]);
    if (lane == 0) partial[warp] = sum;  // BUG: barrier_missing_before_reuse
    if constexpr (missing != Barrier::before_read) __syncthreads();
    float total = 0;
    for (const float& each : partial) total += each;  // BUG: barrier_missing_before_read
    sums[row * kThreads + threadIdx.x] = total;
    if constexpr (missing != Barrier::before_reuse) __syncthreads();
  }
}

// ---- batch norm's tree: one channel's sum over a block, halving the number of threads ----

template <bool has_barrier>
__global__ void tree_kernel(float* mean, const float* x) {
  SIMT_SHARED(sums, float[kThreads]);
  sums[threadIdx.x] = x[blockIdx.x * kThreads + threadIdx.x];
  __syncthreads();
  for (unsigned half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];  // BUG: barrier_missing_in_tree
    if constexpr (has_barrier) __syncthreads();
  }
  if (threadIdx.x == 0) mean[blockIdx.x] = sums[0];
}

// ---- not reached by all ----

template <bool is_right>
__global__ void two_barriers_kernel(float* y, const float* x) {
  SIMT_SHARED(values, float[kThreads]);
  values[threadIdx.x] = x[threadIdx.x];
  if (is_right) {
    __syncthreads();
  } else if (threadIdx.x < kThreads / 2) {
    __syncthreads();
  } else {
    __syncthreads();  // BUG: divergent_barrier
  }
  y[threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}

template <bool is_right>
__global__ void early_return_kernel(float* y, const float* x, unsigned count) {
  SIMT_SHARED(values, float[kThreads]);
  const unsigned i = blockIdx.x * kThreads + threadIdx.x;
  if (!is_right && i >= count) return;
  values[threadIdx.x] = i < count ? x[i] : 0;
  __syncthreads();  // BUG: early_return_before_barrier
  if (i < count) y[i] = values[threadIdx.x ^ 1];
}

template <bool is_right>
__global__ void unequal_loop_kernel(float* y, const float* x, unsigned count) {
  SIMT_SHARED(sum, float[1]);
  if (threadIdx.x == 0) sum[0] = 0;
  __syncthreads();
  const unsigned first = is_right ? 0 : threadIdx.x;
  for (unsigned begin = first; begin < count; begin += kThreads) {
    if (threadIdx.x == 0) sum[0] += x[begin];
    __syncthreads();  // BUG: barrier_in_unequal_loop
  }
  y[threadIdx.x] = sum[0];
}

template <bool is_right>
__global__ void circle_kernel(float* y, const float* x) {
  SIMT_SHARED(values, float[kThreads]);
  values[threadIdx.x] = x[threadIdx.x];
  if (is_right || threadIdx.x % kWarp == 0) __syncthreads();  // BUG: deadlock
  __syncwarp();
  if (!is_right && threadIdx.x % kWarp != 0) __syncthreads();
  y[threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}

}  // namespace

namespace host {
namespace {

// Launches a kernel that writes `expected` from `x`, and compares.
template <class... Parameters, class... Arguments>
std::string run(const char* name, unsigned blocks, const std::vector<float>& expected, const std::vector<float>& x,
                void (*kernel)(float*, const float*, Parameters...), const Arguments&... arguments) {
  const Context context(Device::cuda);
  const OnCard<float> y(expected.size()), from(x);
  launch(context, {.name = name, .grid = blocks, .block = kThreads}, kernel, y, from, arguments...);
  context.synchronise();
  return difference(y.read(), expected);
}

std::string row_sums(void (*kernel)(float*, const float*)) {
  const std::vector<float> x = numbers(2 * kBlocks * kThreads);
  std::vector<float> expected(x.size());
  for (std::size_t row = 0; row < 2 * kBlocks; ++row) {
    float sum = 0;
    for (std::size_t i = 0; i < kThreads; ++i) sum += x[row * kThreads + i];
    for (std::size_t i = 0; i < kThreads; ++i) expected[row * kThreads + i] = sum;
  }
  return run("row_sums", kBlocks, expected, x, kernel);
}

std::string barrier_missing_before_read(bool is_right) {
  return row_sums(is_right ? row_sums_kernel<Barrier::none_missing> : row_sums_kernel<Barrier::before_read>);
}
std::string barrier_missing_before_reuse(bool is_right) {
  return row_sums(is_right ? row_sums_kernel<Barrier::none_missing> : row_sums_kernel<Barrier::before_reuse>);
}

std::string barrier_missing_in_tree(bool is_right) {
  const std::vector<float> x = numbers(kBlocks * kThreads);
  std::vector<float> expected(kBlocks);
  for (std::size_t i = 0; i < x.size(); ++i) expected[i / kThreads] += x[i];
  return run("tree", kBlocks, expected, x, is_right ? tree_kernel<true> : tree_kernel<false>);
}

std::string divergent_barrier(bool is_right) {
  const std::vector<float> x = numbers(kThreads);
  return run("two_barriers", 1, {x.rbegin(), x.rend()}, x, is_right ? two_barriers_kernel<true> : two_barriers_kernel<false>);
}

std::string early_return_before_barrier(bool is_right) {
  const std::vector<float> x = numbers(kBlocks * kThreads - 28);
  std::vector<float> expected = x;
  for (std::size_t i = 0; i < x.size(); i += 2) std::swap(expected[i], expected[i + 1]);
  return run("early_return", kBlocks, expected, x, is_right ? early_return_kernel<true> : early_return_kernel<false>, static_cast<unsigned>(x.size()));
}

std::string barrier_in_unequal_loop(bool is_right) {
  const std::vector<float> x = numbers(kThreads + 10);
  return run("unequal_loop", 1, std::vector<float>(kThreads, x[0] + x[kThreads]), x, is_right ? unequal_loop_kernel<true> : unequal_loop_kernel<false>,
             static_cast<unsigned>(x.size()));
}

std::string deadlock(bool is_right) {
  const std::vector<float> x = numbers(kThreads);
  return run("circle", 1, {x.rbegin(), x.rend()}, x, is_right ? circle_kernel<true> : circle_kernel<false>);
}

}  // namespace
}  // namespace host

std::vector<Bug> barrier_bugs() {
  return {{"barrier_missing_before_read", host::barrier_missing_before_read},
          {"barrier_missing_before_reuse", host::barrier_missing_before_reuse},
          {"barrier_missing_in_tree", host::barrier_missing_in_tree},
          {"divergent_barrier", host::divergent_barrier},
          {"early_return_before_barrier", host::early_return_before_barrier},
          {"barrier_in_unequal_loop", host::barrier_in_unequal_loop},
          {"deadlock", host::deadlock}};
}

}  // namespace isda::seeded
