// SPDX-License-Identifier: Apache-2.0
// Bugs of memory in kernels: outside of an array, not initialised, not one's own, two threads at one place.
#include <memory>
#include <utility>

#include "kernels/common/simt.cuh"
#include "kernels/emulator/emulator.h"
#include "tests/emulator/on_card.h"
#include "tests/emulator/seeded_bugs.h"

namespace isda::seeded {

namespace {

constexpr unsigned kThreads = 64;

// ---- shared memory ----

template <bool is_right>
__global__ void warp_sums_kernel(float* y, const float* x) {
  SIMT_SHARED(partial, float[is_right ? kThreads / kWarp : kThreads / kWarp - 1]);
  float* sums = partial;
  const float sum = warp_sum(x[threadIdx.x]);
  if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = sum;  // BUG: shared_array_one_short
  __syncthreads();
  if (threadIdx.x == 0) y[0] = partial[0] + sum;
}

template <bool is_right>
__global__ void two_pieces_kernel(float* y, const float* x) {
  SharedCarver carver;
  float* a = carver.take<float>(kThreads);
  float* b = carver.take<float>(kThreads);  // BUG: carved_more_than_launched
  b[threadIdx.x] = x[threadIdx.x];
  const unsigned shift = is_right ? 0 : 1;
  a[threadIdx.x + shift] = x[threadIdx.x];  // BUG: write_across_pieces
  __syncthreads();
  y[threadIdx.x] = a[(threadIdx.x + 1) % kThreads] + b[(threadIdx.x + 1) % kThreads];
}

template <bool is_right>
__global__ void large_array_kernel(float* y, const float* x) {
  SIMT_SHARED(values, float[is_right ? 12 * 1024 : 12 * 1024 + 1]);  // BUG: declared_too_much_shared
  values[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = values[threadIdx.x];
}

template <bool is_right>
__global__ void padded_row_kernel(float* y, const float* x) {
  SIMT_SHARED(row, float[kThreads + 2]);
  row[threadIdx.x + 1] = x[threadIdx.x];
  if (is_right && threadIdx.x == 0) row[0] = row[kThreads + 1] = 0;
  __syncthreads();
  y[threadIdx.x] = row[threadIdx.x] + row[threadIdx.x + 2];  // BUG: shared_not_initialised
}

template <bool is_right>
__global__ void flags_kernel(float* y, const float* x) {
  SIMT_SHARED(is_large, int[kThreads]);
  if (is_right || x[threadIdx.x] > 3) is_large[threadIdx.x] = x[threadIdx.x] > 3;
  y[threadIdx.x] = 0;
  if (is_large[threadIdx.x] != 0) y[threadIdx.x] = x[threadIdx.x];  // BUG: branch_on_shared_not_initialised
}

// ---- global memory ----

template <bool is_right>
__global__ void differences_kernel(float* y, const float* x) {
  const float next = !is_right || threadIdx.x + 1 < blockDim.x ? x[threadIdx.x + 1] : 0;  // BUG: global_read_past_the_end
  y[threadIdx.x] = next - x[threadIdx.x];
}

template <bool is_right>
__global__ void copy_kernel(float* y, const float* x, unsigned count) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  const float value = i < count ? x[i] : 0;
  if (!is_right || i < count) y[i] = value;  // BUG: global_write_past_the_end
}

template <bool is_right>
__global__ void quadruple_kernel(float* y, const float* x) {
  float values[4];
  load_packed(x + (is_right ? 4 : 1) * threadIdx.x, values);  // BUG: misaligned_vector_load
  y[threadIdx.x] = values[0];
}

__global__ void doubled_kernel(float* y, const float* x) {
  y[threadIdx.x] = 2 * x[threadIdx.x];  // BUG: use_after_free
}

// NOTE: a structure of pointers, as a kernel with many arguments takes it.
struct Arrays {
  float* y;
  const float* x;
};
__global__ void doubled_by_structure_kernel(Arrays arrays) {
  arrays.y[threadIdx.x] = 2 * arrays.x[threadIdx.x];  // BUG: use_after_free_by_structure
}

__global__ void positive_kernel(float* y, const float* x) {
  y[threadIdx.x] = 0;
  if (x[threadIdx.x] > 0) y[threadIdx.x] = 1;  // BUG: global_not_initialised
}

// ---- two threads at one place ----

template <bool is_right>
__global__ void count_kernel(unsigned* counts, const float* x) {
  SIMT_SHARED(bins, unsigned[8]);
  if (threadIdx.x < 8) bins[threadIdx.x] = 0;
  __syncthreads();
  const auto bin = static_cast<unsigned>(x[threadIdx.x]);
  if (is_right)
    atomicAdd(&bins[bin], 1u);
  else
    bins[bin] += 1;  // BUG: histogram_without_atomics
  __syncthreads();
  if (threadIdx.x < 8) counts[threadIdx.x] = bins[threadIdx.x];
}

template <bool is_right>
__global__ void total_kernel(unsigned* total, const float* x) {
  const auto value = static_cast<unsigned>(warp_sum(x[blockIdx.x * kWarp + threadIdx.x]));
  if (threadIdx.x > 0) return;
  if (is_right) {
    atomicAdd(total, value);
  } else {
    const unsigned before = *total;
    __threadfence();
    *total = before + value;  // BUG: race_between_blocks
  }
}

// NOTE: the last block to count itself reads what the others wrote: without their fence it may not be there yet.
template <bool is_right>
__global__ void last_block_kernel(float* sum, const float* x, float* partial, unsigned* finished) {
  const float mine = warp_sum(x[blockIdx.x * kWarp + threadIdx.x]);
  if (threadIdx.x > 0) return;
  partial[blockIdx.x] = mine;
  if constexpr (is_right) __threadfence();
  if (atomicAdd(finished, 1u) != gridDim.x - 1) return;
  __threadfence();
  float total = 0;
  for (unsigned block = 0; block < gridDim.x; ++block) total += partial[block];  // BUG: fence_missing_before_counter
  *sum = total;
}

template <bool is_right>
__global__ void overlapping_kernel(float* y) {
  const unsigned begin = blockIdx.x * kWarp, count = is_right ? kWarp : kWarp + 1;
  for (unsigned i = threadIdx.x; i < count && begin + i < gridDim.x * kWarp; i += kWarp)
    y[begin + i] = static_cast<float>(blockIdx.x);  // BUG: blocks_overlap_by_one
}

template <bool is_right>
__global__ void float_sum_kernel(float* sum, const float* x) {
  if (is_right) {
    const float total = warp_sum(x[threadIdx.x]);
    if (threadIdx.x == 0) *sum = total;
  } else {
    atomicAdd(sum, x[threadIdx.x]);  // BUG: sum_by_float_atomics
  }
}

}  // namespace

namespace host {
namespace {

template <class... Parameters, class... Arguments>
std::string run(const LaunchShape& shape, const std::vector<float>& expected, void (*kernel)(float*, const float*, Parameters...),
                const std::vector<float>& from, const Arguments&... arguments) {
  const Context context(Device::cuda);
  const OnCard<float> y(expected.size()), x(from);
  launch(context, shape, kernel, y, x, arguments...);
  context.synchronise();
  return difference(y.read(), expected);
}

std::vector<float> doubled(std::vector<float> values) {
  for (float& value : values) value *= 2;
  return values;
}

std::string shared_array_one_short(bool is_right) {
  const std::vector<float> x = numbers(kThreads);
  float sum = 0;
  for (std::size_t i = 0; i < kWarp; ++i) sum += 2 * x[i];
  return run({.name = "warp_sums", .grid = 1, .block = kThreads}, {sum}, is_right ? warp_sums_kernel<true> : warp_sums_kernel<false>, x);
}

// The sum of both pieces, read by a neighbour.
std::string two_pieces(void (*kernel)(float*, const float*), std::size_t shared_bytes) {
  const std::vector<float> x = numbers(kThreads);
  std::vector<float> expected(kThreads);
  for (std::size_t i = 0; i < kThreads; ++i) expected[i] = 2 * x[(i + 1) % kThreads];
  return run({.name = "two_pieces", .grid = 1, .block = kThreads, .shared_bytes = shared_bytes}, expected, kernel, x);
}
std::string carved_more_than_launched(bool is_right) {
  return two_pieces(two_pieces_kernel<true>, (is_right ? 2 * kThreads : 2 * kThreads - 1) * sizeof(float));
}
std::string write_across_pieces(bool is_right) {
  return two_pieces(is_right ? two_pieces_kernel<true> : two_pieces_kernel<false>, 2 * kThreads * sizeof(float));
}

std::string declared_too_much_shared(bool is_right) {
  const std::vector<float> x = numbers(kThreads);
  return run({.name = "large_array", .grid = 1, .block = kThreads}, x, is_right ? large_array_kernel<true> : large_array_kernel<false>, x);
}

std::string shared_not_initialised(bool is_right) {
  const std::vector<float> x = numbers(kThreads);
  std::vector<float> expected(kThreads);
  for (std::size_t i = 0; i < kThreads; ++i) expected[i] = (i > 0 ? x[i - 1] : 0) + (i + 1 < kThreads ? x[i + 1] : 0);
  return run({.name = "padded_row", .grid = 1, .block = kThreads}, expected, is_right ? padded_row_kernel<true> : padded_row_kernel<false>, x);
}

std::string branch_on_shared_not_initialised(bool is_right) {
  const std::vector<float> x = numbers(kThreads);
  std::vector<float> expected = x;
  for (float& value : expected) value = value > 3 ? value : 0;
  return run({.name = "flags", .grid = 1, .block = kThreads}, expected, is_right ? flags_kernel<true> : flags_kernel<false>, x);
}

std::string global_read_past_the_end(bool is_right) {
  const std::vector<float> x = numbers(kThreads);
  std::vector<float> expected(kThreads);
  for (std::size_t i = 0; i < kThreads; ++i) expected[i] = (i + 1 < kThreads ? x[i + 1] : 0) - x[i];
  return run({.name = "differences", .grid = 1, .block = kThreads}, expected, is_right ? differences_kernel<true> : differences_kernel<false>, x);
}

std::string global_write_past_the_end(bool is_right) {
  const std::vector<float> x = numbers(2 * kThreads - 6);
  return run({.name = "copy", .grid = 2, .block = kThreads}, x, is_right ? copy_kernel<true> : copy_kernel<false>, x, static_cast<unsigned>(x.size()));
}

std::string misaligned_vector_load(bool is_right) {
  const std::vector<float> x = numbers(4 * kWarp);
  std::vector<float> expected(kWarp);
  for (std::size_t i = 0; i < kWarp; ++i) expected[i] = x[4 * i];
  return run({.name = "quadruple", .grid = 1, .block = kWarp}, expected, is_right ? quadruple_kernel<true> : quadruple_kernel<false>, x);
}

// Launches with an array that was freed before, unless right.
template <class Launch>
std::string with_freed(bool is_right, Launch&& launch_with) {
  const std::vector<float> from = numbers(kThreads);
  const Context context(Device::cuda);
  const OnCard<float> y(kThreads);
  auto x = std::make_unique<OnCard<float>>(from);
  const float* pointer = *x;
  if (!is_right) x.reset();
  launch_with(context, y, pointer);
  context.synchronise();
  return difference(y.read(), doubled(from));
}
std::string use_after_free(bool is_right) {
  return with_freed(is_right, [](const Context& context, float* y, const float* x) {
    launch(context, {.name = "doubled", .grid = 1, .block = kThreads}, doubled_kernel, y, x);
  });
}
std::string use_after_free_by_structure(bool is_right) {
  return with_freed(is_right, [](const Context& context, float* y, const float* x) {
    launch(context, {.name = "doubled_by_structure", .grid = 1, .block = kThreads}, doubled_by_structure_kernel, Arrays{y, x});
  });
}

std::string host_pointer_in_kernel(bool is_right) {
  const std::vector<float> from = numbers(kThreads);
  const Context context(Device::cuda);
  const OnCard<float> y(kThreads), x(from);
  launch(context, {.name = "doubled", .grid = 1, .block = kThreads}, doubled_kernel, y, is_right ? static_cast<const float*>(x) : from.data());
  context.synchronise();
  return difference(y.read(), doubled(from));
}

std::string global_not_initialised(bool is_right) {
  const Context context(Device::cuda);
  const OnCard<float> y(kThreads), ones(std::vector<float>(kThreads, 1)), nothing(kThreads);
  launch(context, {.name = "positive", .grid = 1, .block = kThreads}, positive_kernel, y, is_right ? ones : nothing);
  context.synchronise();
  return difference(y.read(), std::vector<float>(kThreads, 1));
}

std::string histogram_without_atomics(bool is_right) {
  const std::vector<float> from = numbers(kThreads);
  std::vector<unsigned> expected(8);
  for (const float value : from) ++expected[static_cast<std::size_t>(value)];
  const Context context(Device::cuda);
  const OnCard<unsigned> counts(8);
  const OnCard<float> x(from);
  launch(context, {.name = "count", .grid = 1, .block = kThreads}, is_right ? count_kernel<true> : count_kernel<false>, counts, x);
  context.synchronise();
  return difference(counts.read(), expected);
}

std::string race_between_blocks(bool is_right) {
  constexpr unsigned kBlocks = 8;
  const std::vector<float> from = numbers(kBlocks * kWarp);
  unsigned expected = 0;
  for (const float value : from) expected += static_cast<unsigned>(value);
  const Context context(Device::cuda);
  const OnCard total(std::vector<unsigned>{0});
  const OnCard<float> x(from);
  launch(context, {.name = "total", .grid = kBlocks, .block = kWarp}, is_right ? total_kernel<true> : total_kernel<false>, total, x);
  context.synchronise();
  return difference(total.read(), {expected});
}

std::string fence_missing_before_counter(bool is_right) {
  constexpr unsigned kBlocks = 8;
  const std::vector<float> from = numbers(kBlocks * kWarp);
  float expected = 0;
  for (const float value : from) expected += value;
  const OnCard<float> partial(kBlocks);
  const OnCard finished(std::vector<unsigned>{0});
  return run({.name = "last_block", .grid = kBlocks, .block = kWarp}, {expected}, is_right ? last_block_kernel<true> : last_block_kernel<false>, from, partial,
             finished);
}

std::string blocks_overlap_by_one(bool is_right) {
  constexpr unsigned kBlocks = 4;
  std::vector<float> expected(kBlocks * kWarp);
  for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = static_cast<float>(i / kWarp);
  const Context context(Device::cuda);
  const OnCard<float> y(expected.size());
  launch(context, {.name = "overlapping", .grid = kBlocks, .block = kWarp}, is_right ? overlapping_kernel<true> : overlapping_kernel<false>, y);
  context.synchronise();
  return difference(y.read(), expected);
}

// NOTE: no single result is wrong, but those of two schedules differ in their last bits.
std::string sum_by_float_atomics(bool is_right) {
  return run({.name = "float_sum", .grid = 1, .block = kWarp}, {0.5f * kWarp}, is_right ? float_sum_kernel<true> : float_sum_kernel<false>,
             std::vector<float>(kWarp, 0.5f));
}

}  // namespace
}  // namespace host

std::vector<Bug> memory_bugs() {
  return {{"shared_array_one_short", host::shared_array_one_short},
          {"carved_more_than_launched", host::carved_more_than_launched},
          {"write_across_pieces", host::write_across_pieces},
          {"declared_too_much_shared", host::declared_too_much_shared},
          {"shared_not_initialised", host::shared_not_initialised},
          {"branch_on_shared_not_initialised", host::branch_on_shared_not_initialised},
          {"global_read_past_the_end", host::global_read_past_the_end},
          {"global_write_past_the_end", host::global_write_past_the_end},
          {"global_not_initialised", host::global_not_initialised},
          {"misaligned_vector_load", host::misaligned_vector_load},
          {"use_after_free", host::use_after_free},
          {"use_after_free_by_structure", host::use_after_free_by_structure},
          {"host_pointer_in_kernel", host::host_pointer_in_kernel},
          {"histogram_without_atomics", host::histogram_without_atomics},
          {"race_between_blocks", host::race_between_blocks},
          {"fence_missing_before_counter", host::fence_missing_before_counter},
          {"blocks_overlap_by_one", host::blocks_overlap_by_one},
          {"sum_by_float_atomics", host::sum_by_float_atomics}};
}

}  // namespace isda::seeded
