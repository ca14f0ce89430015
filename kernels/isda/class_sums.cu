// SPDX-License-Identifier: Apache-2.0
// What the blocks of the classes left, added up in order of the classes' numbers: dW, db, the loss and the hits.
//
//   A block takes 128 neighbouring sums of dW, or 32 of db, and one the loss. It looks at 256 classes at a time and lists the slots of those that are
//   present; a thread takes four neighbours of every eighth slot, then the eight are added from the first to the last.
//   bytes  what K slots hold, once: from the level-2 cache, where it was just written. FLOP one for each four bytes
//
// NOTE: a sample whose label is none of the classes was nobody's: where the classes have fewer samples than there are, every result is NaN.
#include <limits>

#include "kernels/isda/head_by_class.cuh"
#include "kernels/isda/tile.cuh"

namespace isda::kernels {

namespace {

constexpr int kThreads = 256, kColumns = 32, kLines = kThreads / kColumns, kWarps = kThreads / kWarp;

struct SharedOfSums {
  int slots[kThreads];
  int present[kWarps], samples[kWarps];
  alignas(16) float lines[kLines][kColumns][4];
};

// Calls add(slot) for every eighth slot, those of this thread's line. Returns how many samples the classes have together.
template <class Add>
__device__ __forceinline__ int for_slots(const ClassSums& op, SharedOfSums& shared, Add&& add) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  int samples = 0;
  for (int first = 0; first < op.C; first += kThreads) {
    const int c = first + thread;
    const ClassRecord record = c < op.C ? op.records[c] : ClassRecord{};
    const unsigned present = __ballot_sync(kAllLanes, record.samples > 0);
    const int of_warp = static_cast<int>(__reduce_add_sync(kAllLanes, static_cast<unsigned>(record.samples)));
    if (lane == 0) {
      shared.present[warp] = __popc(present);
      shared.samples[warp] = of_warp;
    }
    __syncthreads();
    int count = 0, place = 0;
    for (int other = 0; other < kWarps; ++other) {
      if (other == warp) place = count;
      count += shared.present[other];
      samples += shared.samples[other];
    }
    if (record.samples > 0) shared.slots[place + __popc(present & ((1u << lane) - 1))] = record.slot;
    __syncthreads();
#pragma unroll 4
    for (int i = thread / kColumns; i < count; i += kLines) add(shared.slots[i]);
    // The lists may be written again.
    __syncthreads();
  }
  return samples;
}

// The sum over the lines, for line 0. All threads of the block come here.
template <int count>
__device__ __forceinline__ void add_lines(SharedOfSums& shared, float (&sum)[count]) {
  const int column = static_cast<int>(threadIdx.x) % kColumns, line = static_cast<int>(threadIdx.x) / kColumns;
  store_packed(shared.lines[line][column], sum);
  __syncthreads();
  if (line != 0) return;
  for (int other = 1; other < kLines; ++other) {
    float values[count];
    load_packed(shared.lines[other][column], values);
#pragma unroll
    for (int i = 0; i < count; ++i) sum[i] += values[i];
  }
}

__device__ __forceinline__ float nan_unless(bool is_right, float value) { return is_right ? value : std::numeric_limits<float>::quiet_NaN(); }

// Blocks: packets of dW; then of classes of db; then one.
template <int width>
__global__ void __launch_bounds__(kThreads) class_sums_kernel(const __grid_constant__ ClassSums op, int weight_blocks, int bias_blocks) {
  SIMT_SHARED(shared, SharedOfSums);
  const int thread = static_cast<int>(threadIdx.x), column = thread % kColumns, block = static_cast<int>(blockIdx.x);
  const bool is_first_line = thread < kColumns;
  if (block < weight_blocks) {
    const std::int64_t size = std::int64_t{op.C} * op.columns, at = (std::int64_t{block} * kColumns + column) * 4;
    float sum[4] = {};
    const int samples = for_slots(op, shared, [&](int slot) {
      float values[4] = {};
      if (at < size) load_packed(op.dweight_of_slots + slot * size + at, values);
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[i] += values[i];
    });
    add_lines(shared, sum);
    if (!is_first_line || at >= size) return;
    const int a = static_cast<int>(at % op.columns);
#pragma unroll
    for (float& value : sum) value = nan_unless(samples == op.N, value);
    tile::store_four<width>(op.dweight + at / op.columns * op.A + a, op.A - a, sum);
  } else if (block < weight_blocks + bias_blocks) {
    const int j = (block - weight_blocks) * kColumns + column;
    float sum[1] = {};
    const int samples = for_slots(op, shared, [&](int slot) { sum[0] += j < op.C ? op.dbias_of_slots[std::int64_t{slot} * op.C + j] : 0; });
    add_lines(shared, sum);
    if (is_first_line && j < op.C) op.dbias[j] = nan_unless(samples == op.N, sum[0]);
  } else {
    SIMT_SHARED(partial_loss, float[kWarps]);
    SIMT_SHARED(partial_hits, int[kWarps]);
    SIMT_SHARED(partial_samples, int[kWarps]);
    float loss = 0;
    int hits = 0, samples = 0;
    for (int c = thread; c < op.C; c += kThreads) {
      loss += op.records[c].loss;
      hits += op.records[c].hits;
      samples += op.records[c].samples;
    }
    loss = block_sum(loss, partial_loss);
    hits = block_sum(hits, partial_hits);
    samples = block_sum(samples, partial_samples);
    if (thread != 0) return;
    *op.loss = nan_unless(samples == op.N, loss / static_cast<float>(op.N));
    *op.correct = hits;
  }
}

}  // namespace

void add_classes(const Context& context, const ClassSums& op) {
  const unsigned weight_blocks = blocks_for(std::int64_t{op.C} * op.columns, kColumns * 4), bias_blocks = op.dbias ? blocks_for(op.C, kColumns) : 0;
  dispatch_width<float>(op.A, reinterpret_cast<std::uintptr_t>(op.dweight) % 16 == 0, [&]<int width>() {
    launch(context, {.name = "isda_class_sums", .grid = weight_blocks + bias_blocks + 1, .block = kThreads}, class_sums_kernel<width>, op,
           static_cast<int>(weight_blocks), static_cast<int>(bias_blocks));
  });
}

}  // namespace isda::kernels
