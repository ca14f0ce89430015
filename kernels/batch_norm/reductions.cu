// SPDX-License-Identifier: Apache-2.0
// Batch normalisation: the sums over rows, in an order that depends on the shape alone.
//
//   1  A block takes a slice of rows and all channels, or as many as it has threads for; a thread keeps a packet of channels and gathers two numbers for
//      each over its rows (kernels/common/channels.cuh); the block merges them line by line in shared memory and writes 2 * C floats.
//   2  The block of these channels that comes last (kernels/common/last_block.cuh) does the same with the slices: a line of threads takes every so many
//      of them, and the lines are merged.
//
//   256 threads a block, at most 396 blocks, all of which an H200 runs at once
//   bytes: x once (and dy, y), at most 396 * 8 * C of partial results twice; bound by memory, on small arrays by the launch
//
// Statistics: x - x[0], whose digits are kept however large the mean is, since a value of the channel is never further from the mean than sqrt(M)
// deviations. A thread takes mean and centred squares of a few rows, which it holds in registers, and merges them with what it has (Chan).
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/common/channels.cuh"
#include "kernels/common/last_block.cuh"

namespace isda::kernels {

namespace {

constexpr unsigned kThreads = ChannelGrid::kThreads;

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

// What the blocks leave: two numbers for each slice and channel.
struct Partials {
  float *first, *second;
  unsigned* tickets;  // one for each slice of channels
};

// `found` of this block's slice, merged by `merge` with those of all slices: true for the threads that then hold it, one for each packet of channels.
template <int width, class Merge>
__device__ __forceinline__ bool merge_slices(const ChannelGrid& grid, const ChannelPlace& place, const Partials& partials, Gathered<width>* shared,
                                             Merge&& merge, Gathered<width>& found) {
  const auto at = [&](std::int64_t slice) { return slice * grid.channels + place.channel; };
  if (grid.row_slices > 1) {
    // Leave this block's.
    if (place.is_used && place.line == 0) {
      store_channels(partials.first + at(place.slice), found.first);
      store_channels(partials.second + at(place.slice), found.second);
    }
    if (!is_last_block(partials.tickets + blockIdx.y, gridDim.x)) return false;
    // Take those of this line, then merge the lines.
    found = {};
    if (place.is_used) {
#pragma unroll 4
      for (std::int64_t slice = place.line; slice < grid.row_slices; slice += grid.lines) {
        Gathered<width> other;
        other.count = static_cast<float>(grid.rows_of_slice(slice));
        load_channels(partials.first + at(slice), other.first);
        load_channels(partials.second + at(slice), other.second);
        found = merge(found, other);
      }
    }
    found = merge_lines(found, shared, grid, place, merge);
  }
  return place.is_used && place.line == 0;
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
__global__ void __launch_bounds__(kThreads, 3) statistics_kernel(ChannelGrid grid, const T* x, Partials partials, float* mean, float* variance) {
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
  // Merge the lines, then the slices.
  const auto merge = [](const Gathered<width>& a, const Gathered<width>& b) { return merged(a, b); };
  found = merge_lines(found, shared, grid, place, merge);
  if (!merge_slices(grid, place, partials, shared, merge, found)) return;
#pragma unroll
  for (int c = 0; c < width; ++c) {
    mean[place.channel + c] = to_float(x[place.channel + c]) + found.first[c];
    variance[place.channel + c] = found.second[c] / found.count;
  }
}

// ---- gradient ----

template <bool is_masked, int width, class T>
__global__ void __launch_bounds__(kThreads, 3)
    gradient_kernel(ChannelGrid grid, const T* dy, const T* x, const T* y, const float* mean, Partials partials, float* sum_dz, float* sum_dz_x) {
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
  // Add up the lines, then the slices.
  const auto add = [](const Gathered<width>& a, const Gathered<width>& b) { return added(a, b); };
  found = merge_lines(found, shared, grid, place, add);
  if (!merge_slices(grid, place, partials, shared, add, found)) return;
#pragma unroll
  for (int c = 0; c < width; ++c) {
    sum_dz[place.channel + c] = found.first[c];
    sum_dz_x[place.channel + c] = found.second[c];
  }
}

Partials take_partials(const Context& context, Scratch& scratch, const ChannelGrid& grid) {
  const std::int64_t count = grid.row_slices * grid.channels;
  return {scratch.take<float>(count), scratch.take<float>(count), context.tickets(grid.channel_slices)};
}

}  // namespace

void run(Cuda, const Context& context, const BatchNormStatistics& op) {
  const std::int64_t C = op.x.extent(-1), M = op.x.size() / C;
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    dispatch_width<T>(C, are_aligned({op.x}), [&]<int width>() {
      const ChannelGrid grid = channel_grid(1, M, C, width, kRowBatch<T, width>);
      Scratch scratch = context.scratch();
      launch(context, {.name = op.name, .grid = grid.extents(), .block = kThreads}, statistics_kernel<width, T>, grid, elements<T>(op.x),
             take_partials(context, scratch, grid), op.mean.as<float>(), op.variance.as<float>());
    });
  });
}

void run(Cuda, const Context& context, const BatchNormBackwardReduce& op) {
  const std::int64_t C = op.x.extent(-1), M = op.x.size() / C;
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    dispatch_width<T>(C, are_aligned({op.dy, op.x, op.y, op.mean}), [&]<int width>() {
      const ChannelGrid grid = channel_grid(1, M, C, width, kRowBatch<T, width> / 2);
      Scratch scratch = context.scratch();
      launch(context, {.name = op.name, .grid = grid.extents(), .block = kThreads}, op.y ? gradient_kernel<true, width, T> : gradient_kernel<false, width, T>,
             grid, elements<T>(op.dy), elements<T>(op.x), elements<T>(op.y), op.mean.as<float>(), take_partials(context, scratch, grid), op.sum_dz.as<float>(),
             op.sum_dz_x.as<float>());
    });
  });
}

}  // namespace isda::kernels
