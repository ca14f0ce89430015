// SPDX-License-Identifier: Apache-2.0
// Batch normalisation: the sums over rows, each by two launches whose order of adding depends on the shape alone.
//
//   1  A block takes a slice of rows and all channels, or as many as it has threads for; a thread keeps a packet of channels and gathers two numbers for
//      each over its rows (kernels/common/channels.cuh); the block merges them line by line in shared memory and writes 2 * C floats.
//   2  A warp takes a channel: its lanes merge the slices, then each other. Eight warps a block: eight channels are one sector of 32 bytes.
//
//   256 threads a block, at most 396 blocks, all of which an H200 runs at once
//   bytes: x once (and dy, y), at most 396 * 8 * C of partial results twice; bound by memory, on small arrays by the two launches
//
// Statistics: x - x[0], whose digits are kept however large the mean is, since a value of the channel is never further from the mean than sqrt(M)
// deviations. A thread takes mean and centred squares of a few rows, which it holds in registers, and merges them with what it has (Chan).
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/common/channels.cuh"

namespace isda::kernels {

namespace {

constexpr unsigned kThreads = ChannelGrid::kThreads, kWarps = kThreads / kWarp;

// Of some rows, for each of a thread's channels: mean and centred squares of x - x[0], or the sums of dz and dz * (x - mean).
// NOTE: an odd number of words, for merge_lines.
template <int width>
struct Gathered {
  float count, first[width], second[width];
};

// As kernels/common/moments.h, with one division for all channels. NOTE: exact where one of the two is empty.
template <int width>
__device__ __forceinline__ Gathered<width> merged(const Gathered<width>& a, const Gathered<width>& b) {
  Gathered<width> result;
  result.count = a.count + b.count;
  const float share = result.count > 0 ? b.count / result.count : 0.0f, weight = a.count * share;
#pragma unroll
  for (int c = 0; c < width; ++c) {
    const float delta = b.first[c] - a.first[c];
    result.first[c] = a.first[c] + delta * share;
    result.second[c] = a.second[c] + b.second[c] + delta * delta * weight;
  }
  return result;
}

template <int width>
__device__ __forceinline__ Gathered<width> added(const Gathered<width>& a, const Gathered<width>& b) {
  Gathered<width> result;
#pragma unroll
  for (int c = 0; c < width; ++c) {
    result.first[c] = a.first[c] + b.first[c];
    result.second[c] = a.second[c] + b.second[c];
  }
  result.count = a.count + b.count;
  return result;
}

// What the first launch leaves: two numbers for each slice and channel.
struct Partials {
  float *first, *second;

  template <int width>
  __device__ void store(const ChannelGrid& grid, const ChannelPlace& place, const Gathered<width>& found) const {
    if (!place.is_used || place.line != 0) return;
    const std::int64_t at = place.slice * grid.channels + place.channel;
    store_channels(first + at, found.first);
    store_channels(second + at, found.second);
  }
};

// What a lane of the second launch has of its channel: slice `lane` and every 32nd from there, zeros where there are none.
// NOTE: loaded at once, so that one latency is waited for and not one a slice.
struct LaneSlices {
  static constexpr int kMost = (ChannelGrid::kMostBlocks + kWarp - 1) / kWarp;
  float first[kMost], second[kMost];
};

__device__ __forceinline__ LaneSlices load_slices(const ChannelGrid& grid, const Partials& partials, std::int64_t channel, int lane) {
  LaneSlices slices;
#pragma unroll
  for (int i = 0; i < LaneSlices::kMost; ++i) {
    const std::int64_t slice = lane + i * kWarp, at = slice * grid.channels + channel;
    slices.first[i] = slice < grid.row_slices ? partials.first[at] : 0.0f;
    slices.second[i] = slice < grid.row_slices ? partials.second[at] : 0.0f;
  }
  return slices;
}

// ---- statistics ----

// Mean and centred squares of a few rows' packets, less the pilot.
template <int batch, int width, class T, class Count>
__device__ __forceinline__ Gathered<width> moments_of(const Packed<T, width> (&rows)[batch], Count count, const float (&pilot)[width]) {
  float values[batch][width];
#pragma unroll
  for (int row = 0; row < batch; ++row) unpack(rows[row], values[row]);
  Gathered<width> found;
  found.count = static_cast<float>(count);
  const float share = 1 / found.count;
#pragma unroll
  for (int c = 0; c < width; ++c) {
    float sum = 0, squares = 0;
#pragma unroll
    for (int row = 0; row < batch; ++row) sum += row < count ? values[row][c] - pilot[c] : 0.0f;
    const float mean = sum * share;
#pragma unroll
    for (int row = 0; row < batch; ++row) {
      const float deviation = values[row][c] - pilot[c] - mean;
      squares += row < count ? deviation * deviation : 0.0f;
    }
    found.first[c] = mean;
    found.second[c] = squares;
  }
  return found;
}

template <int width, class T>
__global__ void __launch_bounds__(kThreads, 3) statistics_kernel(ChannelGrid grid, const T* x, Partials partials) {
  constexpr int batch = kRowBatch<T, width>;
  SIMT_SHARED(shared, Gathered<width>[kThreads]);
  const ChannelPlace place = channel_place<width>(grid);
  // Gather this thread's rows.
  Gathered<width> found{};
  if (place.is_used) {
    float pilot[width];
    load_packed(x + place.channel, pilot);
    const std::int64_t step = row_step(grid);
    for_row_batches<batch>(grid, place, [&](std::int64_t offset, auto count) {
      Packed<T, width> rows[batch] = {};
      load_rows(x + offset, step, count, rows);
      found = merged(found, moments_of(rows, count, pilot));
    });
  }
  // Merge the lines.
  found = merge_lines(found, shared, grid, place, [](const Gathered<width>& a, const Gathered<width>& b) { return merged(a, b); });
  partials.store(grid, place, found);
}

template <class T>
__global__ void __launch_bounds__(kThreads) statistics_merge_kernel(ChannelGrid grid, const T* x, Partials partials, float* mean, float* variance) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t channel = blockIdx.x * std::int64_t{kWarps} + static_cast<int>(threadIdx.x) / kWarp;
  if (channel >= grid.channels) return;
  const LaneSlices slices = load_slices(grid, partials, channel, lane);
  Gathered<1> mine{};
#pragma unroll
  for (int i = 0; i < LaneSlices::kMost; ++i) {
    const std::int64_t slice = lane + i * kWarp;
    const float rows = slice < grid.row_slices ? static_cast<float>(grid.rows_of_slice(slice)) : 0.0f;
    mine = merged(mine, Gathered<1>{rows, {slices.first[i]}, {slices.second[i]}});
  }
  const Moments<float> total = warp_moments(Moments<float>{mine.count, mine.first[0], mine.second[0]});
  if (lane == 0) {
    mean[channel] = to_float(x[channel]) + total.mean;
    variance[channel] = total.m2 / total.count;
  }
}

// ---- gradient ----

template <bool is_masked, int width, class T>
__global__ void __launch_bounds__(kThreads, 3) gradient_kernel(ChannelGrid grid, const T* dy, const T* x, const T* y, const float* mean, Partials partials) {
  constexpr int batch = kRowBatch<T, width> / 2;
  SIMT_SHARED(shared, Gathered<width>[kThreads]);
  const ChannelPlace place = channel_place<width>(grid);
  // Add up this thread's rows.
  Gathered<width> found{};
  if (place.is_used) {
    float means[width];
    load_channels(mean + place.channel, means);
    const std::int64_t step = row_step(grid);
    for_row_batches<batch>(grid, place, [&](std::int64_t offset, auto count) {
      Packed<T, width> rows_dy[batch] = {}, rows_x[batch] = {};
      [[maybe_unused]] Packed<T, width> rows_y[batch] = {};
      load_rows(dy + offset, step, count, rows_dy);
      load_rows(x + offset, step, count, rows_x);
      if constexpr (is_masked) load_rows(y + offset, step, count, rows_y);
#pragma unroll
      for (int row = 0; row < batch; ++row) {
        float dz[width], values[width];
        [[maybe_unused]] float outputs[width];
        unpack(rows_dy[row], dz);
        unpack(rows_x[row], values);
        if constexpr (is_masked) unpack(rows_y[row], outputs);
#pragma unroll
        for (int c = 0; c < width; ++c) {
          bool is_passed = row < count;
          if constexpr (is_masked) is_passed = is_passed && outputs[c] > 0;
          found.first[c] += is_passed ? dz[c] : 0.0f;
          found.second[c] += is_passed ? dz[c] * (values[c] - means[c]) : 0.0f;
        }
      }
    });
  }
  // Add up the lines.
  found = merge_lines(found, shared, grid, place, [](const Gathered<width>& a, const Gathered<width>& b) { return added(a, b); });
  partials.store(grid, place, found);
}

__global__ void __launch_bounds__(kThreads) gradient_merge_kernel(ChannelGrid grid, Partials partials, float* sum_dz, float* sum_dz_x) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t channel = blockIdx.x * std::int64_t{kWarps} + static_cast<int>(threadIdx.x) / kWarp;
  if (channel >= grid.channels) return;
  const LaneSlices slices = load_slices(grid, partials, channel, lane);
  float first = 0, second = 0;
#pragma unroll
  for (int i = 0; i < LaneSlices::kMost; ++i) {
    first += slices.first[i];
    second += slices.second[i];
  }
  first = warp_sum(first);
  second = warp_sum(second);
  if (lane == 0) {
    sum_dz[channel] = first;
    sum_dz_x[channel] = second;
  }
}

Partials take_partials(Scratch& scratch, const ChannelGrid& grid) {
  const std::int64_t count = grid.row_slices * grid.channels;
  return {scratch.take<float>(count), scratch.take<float>(count)};
}

}  // namespace

void run(Cuda, const Context& context, const BatchNormStatistics& op) {
  const std::int64_t C = op.x.extent(-1), M = op.x.size() / C;
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    dispatch_width<T>(C, are_aligned({op.x}), [&]<int width>() {
      const ChannelGrid grid = channel_grid(1, M, C, width, kRowBatch<T, width>);
      Scratch scratch = context.scratch();
      const Partials partials = take_partials(scratch, grid);
      launch(context, {.name = op.name, .grid = grid.extents(), .block = kThreads}, statistics_kernel<width, T>, grid, elements<T>(op.x), partials);
      launch(context, {.name = "batch_norm_statistics_merge", .grid = blocks_for(C, kWarps), .block = kThreads}, statistics_merge_kernel<T>, grid,
             elements<T>(op.x), partials, op.mean.as<float>(), op.variance.as<float>());
    });
  });
}

void run(Cuda, const Context& context, const BatchNormBackwardReduce& op) {
  const std::int64_t C = op.x.extent(-1), M = op.x.size() / C;
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    dispatch_width<T>(C, are_aligned({op.dy, op.x, op.y, op.mean}), [&]<int width>() {
      const ChannelGrid grid = channel_grid(1, M, C, width, kRowBatch<T, width> / 2);
      Scratch scratch = context.scratch();
      const Partials partials = take_partials(scratch, grid);
      launch(context, {.name = op.name, .grid = grid.extents(), .block = kThreads}, op.y ? gradient_kernel<true, width, T> : gradient_kernel<false, width, T>,
             grid, elements<T>(op.dy), elements<T>(op.x), elements<T>(op.y), op.mean.as<float>(), partials);
      launch(context, {.name = "batch_norm_backward_reduce_merge", .grid = blocks_for(C, kWarps), .block = kThreads}, gradient_merge_kernel, grid, partials,
             op.sum_dz.as<float>(), op.sum_dz_x.as<float>());
    });
  });
}

}  // namespace isda::kernels
