// SPDX-License-Identifier: Apache-2.0
// Images of rows by channels (NHWC: a row is a pixel) shared out among blocks.
//
// Neighbouring threads take neighbouring packets of `width` channels, further threads the next rows: whatever C is, what a block touches at a time is
// contiguous. A thread keeps its channels and walks down the rows, several at a time, so that what belongs to a channel stays in registers.
//
//   256 threads, C = 20, width 4: 5 columns, 51 lines; thread 0..4 row 0, 5..9 row 1, ... 250..254 row 50, thread 255 idle; then row 51, ...
//
// How many blocks there are is a function of the shape alone, and so is the order of every sum.
#pragma once
#include <algorithm>
#include <bit>

#include "kernels/common/simt.cuh"

namespace isda {

// How many blocks there are, and what each takes.
struct ChannelGrid {
  static constexpr unsigned kThreads = 256;
  // Three blocks for each of the 132 multiprocessors of an H200: all of them run at once.
  static constexpr std::int64_t kMostBlocks = 396;

  std::int64_t rows = 0;      // of an image
  std::int64_t channels = 0;  // C
  unsigned columns = 0;       // threads side by side in a row
  unsigned lines = 0;         // rows that a block touches at once
  unsigned half_lines = 0;    // the power of two from which `lines` are halved: merge_lines
  unsigned channel_slices = 0, row_slices = 0;
  std::int64_t rows_per_slice = 0;
  unsigned blocks = 0;  // images * row_slices; by channel_slices

  dim3 extents() const { return {blocks, channel_slices, 1}; }
  __device__ std::int64_t rows_of_slice(std::int64_t slice) const {
    const std::int64_t left = rows - slice * rows_per_slice;
    return left < rows_per_slice ? left : rows_per_slice;
  }
};

struct ChannelGridLimits {
  unsigned most_columns = ChannelGrid::kThreads;
  std::int64_t most_blocks = ChannelGrid::kMostBlocks;  // 1: an image's rows are not sliced
};

// batch: rows that a thread takes at a time; a slice has that for each line, where there are as many.
inline ChannelGrid channel_grid(std::int64_t images, std::int64_t rows, std::int64_t channels, int width, int batch, const ChannelGridLimits& limits = {}) {
  ChannelGrid grid{.rows = rows, .channels = channels};
  const std::int64_t packets = channels / width;
  grid.channel_slices = blocks_for(packets, limits.most_columns);
  grid.columns = blocks_for(packets, grid.channel_slices);
  grid.lines = ChannelGrid::kThreads / grid.columns;
  grid.half_lines = std::bit_ceil(grid.lines) / 2;
  const std::int64_t most_row_slices = std::max<std::int64_t>(limits.most_blocks / (images * grid.channel_slices), 1);
  const std::int64_t row_slices = std::clamp<std::int64_t>(blocks_for(rows, grid.lines * batch), 1, most_row_slices);
  grid.rows_per_slice = blocks_for(rows, row_slices);
  grid.row_slices = blocks_for(rows, grid.rows_per_slice);
  grid.blocks = static_cast<unsigned>(images) * grid.row_slices;
  return grid;
}

// Calls body<width>() with the widest packet that the channels come in: 8 (bf16 only), 4, 2 or 1 elements.
template <class T, class Body>
void dispatch_width(std::int64_t channels, bool is_aligned, Body&& body) {
  if constexpr (kPacked<T> == 8) {
    if (is_aligned && channels % 8 == 0) return body.template operator()<8>();
  }
  if (is_aligned && channels % 4 == 0) return body.template operator()<4>();
  if (is_aligned && channels % 2 == 0) return body.template operator()<2>();
  return body.template operator()<1>();
}

// Rows that a thread loads before it computes: 64 bytes of them, at most 8.
template <class T, int width>
inline constexpr int kRowBatch = std::min<int>(64 / (width * static_cast<int>(sizeof(T))), 8);

// Where a thread stands.
struct ChannelPlace {
  bool is_used;  // false for those that are left over
  int line, channel;
  std::int64_t image, slice, begin, end;  // slice: of the image's rows, begin to end
};

template <int width>
__device__ __forceinline__ ChannelPlace channel_place(const ChannelGrid& grid) {
  ChannelPlace place;
  place.line = static_cast<int>(threadIdx.x / grid.columns);
  place.channel = static_cast<int>((blockIdx.y * grid.columns + threadIdx.x % grid.columns) * width);
  place.is_used = threadIdx.x < grid.lines * grid.columns && place.channel < grid.channels;
  place.image = blockIdx.x / grid.row_slices;
  place.slice = blockIdx.x % grid.row_slices;
  place.begin = place.slice * grid.rows_per_slice;
  place.end = place.begin + grid.rows_of_slice(place.slice);
  return place;
}

// Elements from one row of a thread to its next.
__device__ __forceinline__ std::int64_t row_step(const ChannelGrid& grid) { return grid.lines * grid.channels; }

// Calls body(offset, count) for the rows of this thread, `batch` at a time: `count` of them are there, the first at element `offset`, the others
// row_step(grid) elements apart. NOTE: `count` is a constant in all calls but the last, so that whole batches are compiled without conditions.
template <int batch, class Body>
__device__ __forceinline__ void for_row_batches(const ChannelGrid& grid, const ChannelPlace& place, Body&& body) {
  const int lines = static_cast<int>(grid.lines);
  const std::int64_t step = row_step(grid);
  std::int64_t offset = (place.image * grid.rows + place.begin + place.line) * grid.channels + place.channel;
  int left = static_cast<int>(place.end - place.begin) - place.line;
  for (; left > (batch - 1) * lines; left -= batch * lines) {
    body(offset, std::integral_constant<int, batch>());
    offset += batch * step;
  }
  if (left > 0) body(offset, (left + lines - 1) / lines);
}

// The packets of a batch of rows. NOTE: unpacked later, so that all loads are under way before the first is waited for.
template <int batch, int width, class T, class Count>
__device__ __forceinline__ void load_rows(const T* from, std::int64_t step, Count count, Packed<T, width> (&rows)[batch] SIMT_CALLER) {
#pragma unroll
  for (int i = 0; i < batch; ++i) {
    if (i < count) rows[i] = load_whole(reinterpret_cast<const Packed<T, width>*>(from + i * step) SIMT_AT_CALLER);
  }
}

// f32 values of `width` channels, 16 bytes at a time.
template <int width>
__device__ __forceinline__ void load_channels(const float* from, float (&values)[width] SIMT_CALLER) {
  constexpr int step = width < 4 ? width : 4;
#pragma unroll
  for (int first = 0; first < width; first += step) {
    float part[step];
    load_packed(from + first, part SIMT_AT_CALLER);
#pragma unroll
    for (int i = 0; i < step; ++i) values[first + i] = part[i];
  }
}
template <int width>
__device__ __forceinline__ void store_channels(float* to, const float (&values)[width] SIMT_CALLER) {
  constexpr int step = width < 4 ? width : 4;
#pragma unroll
  for (int first = 0; first < width; first += step) {
    float part[step];
#pragma unroll
    for (int i = 0; i < step; ++i) part[i] = values[first + i];
    store_packed(to + first, part SIMT_AT_CALLER);
  }
}

// What the lines of a block found, merged for line 0 of each column: line 0 with line half_lines, 1 with half_lines + 1, ...; then the half of them, ...
// Every thread of the block comes here. `shared`: one element a thread. NOTE: of an odd number of words each, so that lanes meet different banks.
template <class Found, class Merge>
__device__ __forceinline__ Found merge_lines(Found found, Found* shared, const ChannelGrid& grid, const ChannelPlace& place, Merge&& merge SIMT_CALLER) {
  static_assert(sizeof(Found) / 4 % 2 == 1);
  shared[threadIdx.x] = found;
  __syncthreads(SIMT_CALLER_ALONE);
  for (int distance = static_cast<int>(grid.half_lines); distance > 0; distance /= 2) {
    if (place.line < distance && place.line + distance < static_cast<int>(grid.lines)) {
      found = merge(found, shared[threadIdx.x + distance * grid.columns]);
      shared[threadIdx.x] = found;
    }
    __syncthreads(SIMT_CALLER_ALONE);
  }
  return found;
}

// The sums of a thread's channels. NOTE: an odd number of words, for merge_lines.
template <int width>
struct ChannelSums {
  float of[width | 1];
};

// The same for sums: every thread of the block comes here, and line 0 of each column has the sum of its lines.
template <int width>
__device__ __forceinline__ ChannelSums<width> add_lines(const ChannelSums<width>& sum, ChannelSums<width>* shared, const ChannelGrid& grid,
                                                        const ChannelPlace& place SIMT_CALLER) {
  const auto add = [](ChannelSums<width> a, const ChannelSums<width>& b) {
#pragma unroll
    for (int c = 0; c < width; ++c) a.of[c] += b.of[c];
    return a;
  };
  return merge_lines(sum, shared, grid, place, add SIMT_AT_CALLER);
}

}  // namespace isda
