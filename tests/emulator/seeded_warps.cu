// SPDX-License-Identifier: Apache-2.0
// Bugs of what the lanes of a warp do together: who takes part, in what, and what it orders.
#include "kernels/common/ptx.cuh"
#include "kernels/common/simt.cuh"
#include "tests/emulator/on_card.h"
#include "tests/emulator/seeded_bugs.h"

namespace isda::seeded {

namespace {

// ---- memory of a warp: each lane writes a value and reads its neighbour's ----

template <bool is_right>
__global__ void exchange_kernel(float* y, const float* x) {
  SIMT_SHARED(values, float[kWarp]);
  values[threadIdx.x] = x[threadIdx.x];
  if constexpr (is_right) __syncwarp();
  y[threadIdx.x] = values[threadIdx.x ^ 1];  // BUG: syncwarp_missing
}

// NOTE: each half of the warp waits for itself, and reads what the other half wrote.
template <bool is_right>
__global__ void halves_kernel(float* y, const float* x) {
  SIMT_SHARED(values, float[kWarp]);
  values[threadIdx.x] = x[threadIdx.x];
  __syncwarp(is_right ? kAllLanes : threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u);
  y[threadIdx.x] = values[threadIdx.x ^ 16];  // BUG: syncwarp_of_half_a_warp
}

// NOTE: every lane waits in a shuffle for every other, which orders nothing in memory.
template <bool is_right>
__global__ void fenced_kernel(float* y, const float* x) {
  SIMT_SHARED(values, float[kWarp]);
  values[threadIdx.x] = x[threadIdx.x];
  const float first = __shfl_sync(kAllLanes, x[threadIdx.x], 0);
  if constexpr (is_right) __syncwarp();
  y[threadIdx.x] = values[threadIdx.x ^ 1] * first;  // BUG: shuffle_used_as_fence
}

// ---- who takes part ----

template <bool is_right>
__global__ void ragged_sum_kernel(float* y, const float* x, unsigned count) {
  if (!is_right && threadIdx.x >= count) return;
  const float value = threadIdx.x < count ? x[threadIdx.x] : 0;
  const float sum = value + __shfl_xor_sync(kAllLanes, value, 1);  // BUG: early_return_before_shuffle
  if (threadIdx.x < count) y[threadIdx.x] = sum;
}

template <bool is_right>
__global__ void half_warp_kernel(float* y, const float* x) {
  constexpr unsigned mask = is_right ? kAllLanes : 0x0000ffffu;
  y[threadIdx.x] = __shfl_xor_sync(mask, x[threadIdx.x], 1);  // BUG: lane_not_in_mask
}

template <bool is_right>
__global__ void outside_source_kernel(float* y, const float* x) {
  if (threadIdx.x >= 16) return;
  // NOTE: lanes 8 to 15 read from lanes that do not take part, unless a width keeps them inside.
  constexpr int width = is_right ? 16 : 32;
  const float other = __shfl_down_sync(0x0000ffffu, x[threadIdx.x], 8, width);
  y[threadIdx.x] = x[threadIdx.x] + other;  // BUG: shuffle_from_outside_of_mask
}

// ---- in what ----

template <bool is_right>
__global__ void two_collectives_kernel(float* y, const float* x) {
  const float value = x[threadIdx.x];
  if (is_right || threadIdx.x < 16)
    y[threadIdx.x] = __shfl_xor_sync(kAllLanes, value, 16);  // BUG: mismatched_collectives
  else
    y[threadIdx.x] = __any_sync(kAllLanes, value > 0) ? value : 0;
}

template <bool is_right>
__global__ void two_masks_kernel(float* y, const float* x) {
  const unsigned mask = is_right || threadIdx.x < 16 ? kAllLanes : 0xffff0000u;
  y[threadIdx.x] = __shfl_xor_sync(mask, x[threadIdx.x], 1);  // BUG: mismatched_masks
}

template <bool is_right>
__global__ void product_kernel(float* y) {
  if (!is_right && threadIdx.x % kWarp >= 16) return;
  float d[4] = {1, 1, 1, 1};
  const std::uint32_t a[4] = {}, b[2] = {};
  ptx::mma_m16n8k16_bf16(d, a, b);  // BUG: product_by_half_a_warp
  y[threadIdx.x] = d[0];
}

}  // namespace

namespace host {
namespace {

template <class... Parameters, class... Arguments>
std::string run(const char* name, const std::vector<float>& expected, void (*kernel)(float*, const float*, Parameters...), const Arguments&... arguments) {
  const Context context(Device::cuda);
  const OnCard<float> y(expected.size()), x(numbers(kWarp));
  launch(context, {.name = name, .grid = 1, .block = kWarp}, kernel, y, x, arguments...);
  context.synchronise();
  return difference(y.read(), expected);
}

// The numbers with lane i's at lane i ^ distance.
std::vector<float> exchanged(std::size_t distance) {
  const std::vector<float> x = numbers(kWarp);
  std::vector<float> result(kWarp);
  for (std::size_t i = 0; i < kWarp; ++i) result[i] = x[i ^ distance];
  return result;
}

std::string syncwarp_missing(bool is_right) { return run("exchange", exchanged(1), is_right ? exchange_kernel<true> : exchange_kernel<false>); }
std::string syncwarp_of_half_a_warp(bool is_right) { return run("halves", exchanged(16), is_right ? halves_kernel<true> : halves_kernel<false>); }
// NOTE: the first number is 1.
std::string shuffle_used_as_fence(bool is_right) { return run("fenced", exchanged(1), is_right ? fenced_kernel<true> : fenced_kernel<false>); }

std::string early_return_before_shuffle(bool is_right) {
  const std::vector<float> x = numbers(kWarp);
  std::vector<float> expected(20);
  for (std::size_t i = 0; i < 20; ++i) expected[i] = x[i] + x[i ^ 1];
  return run("ragged_sum", expected, is_right ? ragged_sum_kernel<true> : ragged_sum_kernel<false>, 20u);
}

std::string lane_not_in_mask(bool is_right) { return run("half_warp", exchanged(1), is_right ? half_warp_kernel<true> : half_warp_kernel<false>); }

std::string shuffle_from_outside_of_mask(bool is_right) {
  const std::vector<float> x = numbers(kWarp);
  std::vector<float> expected(16);
  for (std::size_t i = 0; i < 16; ++i) expected[i] = x[i] + x[i < 8 ? i + 8 : i];
  return run("outside_source", expected, is_right ? outside_source_kernel<true> : outside_source_kernel<false>);
}

std::string mismatched_collectives(bool is_right) {
  return run("two_collectives", exchanged(16), is_right ? two_collectives_kernel<true> : two_collectives_kernel<false>);
}
std::string mismatched_masks(bool is_right) { return run("two_masks", exchanged(1), is_right ? two_masks_kernel<true> : two_masks_kernel<false>); }

std::string product_by_half_a_warp(bool is_right) {
  const Context context(Device::cuda);
  const OnCard<float> y(kWarp);
  launch(context, {.name = "product", .grid = 1, .block = kWarp}, is_right ? product_kernel<true> : product_kernel<false>, y);
  context.synchronise();
  return difference(y.read(), std::vector<float>(kWarp, 1));
}

}  // namespace
}  // namespace host

std::vector<Bug> warp_bugs() {
  return {{"syncwarp_missing", host::syncwarp_missing},
          {"syncwarp_of_half_a_warp", host::syncwarp_of_half_a_warp},
          {"shuffle_used_as_fence", host::shuffle_used_as_fence},
          {"early_return_before_shuffle", host::early_return_before_shuffle},
          {"lane_not_in_mask", host::lane_not_in_mask},
          {"shuffle_from_outside_of_mask", host::shuffle_from_outside_of_mask},
          {"mismatched_collectives", host::mismatched_collectives},
          {"mismatched_masks", host::mismatched_masks},
          {"product_by_half_a_warp", host::product_by_half_a_warp}};
}

}  // namespace isda::seeded
