// SPDX-License-Identifier: Apache-2.0
// A block that owns a class, up to 128 features wide: what it keeps in shared memory, and the steps that it is made of.
//
// Rows of features, the columns, are padded to 32, 64 or 128, with zeros. A thread always has the same four neighbouring columns; threads with the same
// columns are lines, which share out among them the rows of whatever is walked over: samples, pixels, features, classes.
//
//   64 columns: 16 threads side by side, 32 lines.   A thread of line l: rows l, l + 32, l + 64, ... of W;  of two samples with 64 pixels: line 0 to 15
//   the first sample, pixels l, l + 16, l + 32, l + 48, line 16 to 31 the second; then the sixteen are added from the first to the last
//
// A block takes as many samples at a time as it has lines (a chunk), and as many classes j as it has room for (a tile): nearly always that is all of them.
#pragma once
#include "kernels/common/ptx.cuh"
#include "kernels/isda/tile.cuh"

namespace isda::kernels::class_block {

constexpr int kThreads = 512, kWarps = kThreads / kWarp;

__device__ __forceinline__ int this_lane() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ __forceinline__ int this_warp() { return static_cast<int>(threadIdx.x) / kWarp; }

__device__ __forceinline__ int smaller(int a, int b) { return a < b ? a : b; }

// How the threads lie over `columns` columns.
template <int columns>
struct Threads {
  static constexpr int kSide = columns / 4, kLines = kThreads / kSide;
  static constexpr int kChunk = kLines;  // samples at a time
  __device__ __forceinline__ static int column() { return static_cast<int>(threadIdx.x) % kSide * 4; }
  __device__ __forceinline__ static int line() { return static_cast<int>(threadIdx.x) / kSide; }
};

// What is known of a sample's softmax after some tiles of its logits.
struct Softmax {
  float top;     // the largest logit
  float others;  // the sum of exp(z - top) over all but the first that is the largest
  float own;     // the logit of its label
  int first;     // the class of the first largest
};

template <int columns>
struct Shared {
  using Lines = Threads<columns>;
  // NOTE: four floats between rows of W: what lies below each other begins four banks further.
  static constexpr int kWeightStride = columns + 4;

  float* covariance;  // (columns,columns)
  float* weight;      // a tile: (rows,kWeightStride)
  float* features;    // a chunk: (kChunk,columns); later dF
  float* terms;       // (kChunk+1,columns); at other times what lines add up
  float* logits;      // a chunk by a tile: (kChunk,rows); then their gradients
  float* correction;  // a tile: (ratio/2) Q[c,j]
  float* gradients;   // a tile: ratio times Gc[c,j]
  float* own;         // (columns) w_c
  float* u;           // (rows,columns), where there is room
  Softmax* softmax;   // (kChunk)
  float* losses;      // (kChunk)
  int* misses;        // (kChunk)
  int* samples;       // (kChunk)
  int* counts;        // (kWarps)

  __device__ __forceinline__ Shared(int rows, bool keeps_u) {
    SharedCarver carver;
    covariance = carver.take<float>(columns * columns);
    weight = carver.take<float>(rows * kWeightStride);
    features = carver.take<float>(Lines::kChunk * columns);
    terms = carver.take<float>((Lines::kChunk + 1) * columns);
    logits = carver.take<float>(Lines::kChunk * rows);
    correction = carver.take<float>(rows);
    gradients = carver.take<float>(rows);
    own = carver.take<float>(columns);
    u = carver.take<float>(keeps_u ? rows * columns : 0);
    softmax = carver.take<Softmax>(Lines::kChunk);
    losses = carver.take<float>(Lines::kChunk);
    misses = carver.take<int>(Lines::kChunk);
    samples = carver.take<int>(Lines::kChunk);
    counts = carver.take<int>(kWarps);
  }

  static constexpr std::size_t bytes(int rows, bool keeps_u) {
    // NOTE: every piece begins at a multiple of 16 bytes.
    const auto piece = [](std::size_t words) { return (words + 3) / 4 * 16; };
    const auto tile = static_cast<std::size_t>(rows), chunk = static_cast<std::size_t>(Lines::kChunk);
    return piece(columns * columns) + piece(tile * kWeightStride) + piece(chunk * columns) + piece((chunk + 1) * columns) + piece(chunk * tile) +
           2 * piece(tile) + piece(columns) + (keeps_u ? piece(tile * columns) : 0) + piece(4 * chunk) + 3 * piece(chunk) + piece(kWarps);
  }
};

// How many samples is_mine(label) holds for, in the whole batch; those from the `begin`-th on are listed, at most `most` of them, in order.
template <class IsMine>
__device__ __forceinline__ int find_samples(const std::int32_t* labels, int N, IsMine&& is_mine, int begin, int most, int* counts, int* samples) {
  int total = 0;
  for (int first = 0; first < N; first += kThreads) {
    const int i = first + static_cast<int>(threadIdx.x);
    const bool is_found = i < N && is_mine(labels[i]);
    const unsigned found = __ballot_sync(kAllLanes, is_found);
    if (this_lane() == 0) counts[this_warp()] = __popc(found);
    __syncthreads();
    // The samples of the warps before, and of this warp's lanes before.
    int rank = 0;
    for (int warp = 0; warp < kWarps; ++warp) {
      if (warp == this_warp()) rank = total;
      total += counts[warp];
    }
    rank += __popc(found & ((1u << this_lane()) - 1)) - begin;
    if (is_found && rank >= 0 && rank < most) samples[rank] = i;
    // The list is whole, and the counts may be written again.
    __syncthreads();
  }
  return total;
}

// Asks for four elements of a row of `left` more; zeros where it ends. They come with cp_async_wait.
template <int width>
__device__ __forceinline__ void request_four(float* to, const float* from, int left) {
#pragma unroll
  for (int i = 0; i < 4; i += width) {
    const bool is_there = i < left;
    ptx::cp_async<4 * width>(to + i, is_there ? from + i : from, is_there);
  }
}

// Asks for rows of `A` elements each; `stride`: between them in shared memory; zeros behind the row, and rows of zeros up to `padded_rows`.
template <int columns, int width>
__device__ __forceinline__ void request_rows(float* to, int stride, const float* from, int A, int rows, int padded_rows) {
  using Lines = Threads<columns>;
#pragma unroll 1
  for (int row = Lines::line(); row < padded_rows; row += Lines::kLines) {
    const int left = row < rows ? A - Lines::column() : 0;
    request_four<width>(to + row * stride + Lines::column(), left > 0 ? from + std::int64_t{row} * A + Lines::column() : from, left);
  }
}

// How lines share out the samples of a chunk: `share` lines each.
template <int columns>
struct LinesOfSample {
  using Lines = Threads<columns>;
  int share, sample, part;
  __device__ __forceinline__ explicit LinesOfSample(int samples) {
    // NOTE: powers of two, so that a division is a shift.
    const int shift = 31 - __clz(Lines::kLines / samples);
    share = 1 << shift;
    sample = Lines::line() >> shift;
    part = Lines::line() & (share - 1);
  }
};

// The sum over the `share` lines of each group, in order, for the first line of the group. All threads come here; `among` is (lines,columns).
template <int columns>
__device__ __forceinline__ void add_lines(float* among, int share, float (&sum)[4]) {
  using Lines = Threads<columns>;
  if (share == 1) return;
  const int own = Lines::line() * columns + Lines::column();
  store_packed(among + own, sum);
  __syncthreads();
  if (Lines::line() % share != 0) return;
#pragma unroll 4
  for (int other = 1; other < share; ++other) {
    float values[4];
    load_packed(among + own + other * columns, values);
#pragma unroll
    for (int i = 0; i < 4; ++i) sum[i] += values[i];
  }
}

// The columns of an image from `first` on that a block has, of `A` in memory.
struct Columns {
  int A, first = 0;
  template <int columns>
  __device__ __forceinline__ int own() const {
    return first + Threads<columns>::column();
  }
};

// features[k] = mean over the pixels of sample k of the chunk, (kChunk,columns). They are there behind a barrier. among: (kLines,columns)
template <int columns, int width, class T>
__device__ __forceinline__ void average_pixels(const T* x, const Columns& of, int pixels, const int* samples, int count, float* among, float* features) {
  using Lines = Threads<columns>;
  const LinesOfSample<columns> place(count);
  const int own = of.own<columns>(), left = of.A - own;
  float sum[4] = {};
  if (place.sample < count && left > 0) {
    const T* from = x + std::int64_t{samples[place.sample]} * pixels * of.A + own;
#pragma unroll 4
    for (int pixel = place.part; pixel < pixels; pixel += place.share) {
      float values[4];
      tile::load_four<width>(from + std::int64_t{pixel} * of.A, left, values);
#pragma unroll
      for (int i = 0; i < 4; ++i) sum[i] += values[i];
    }
  }
  add_lines<columns>(among, place.share, sum);
  if (place.sample >= count || place.part != 0) return;
  const float share = 1 / static_cast<float>(pixels);
#pragma unroll
  for (float& value : sum) value *= share;
  store_packed(features + place.sample * columns + Lines::column(), sum);
}

// dx of the chunk's samples: row k of `gradients`, (kChunk,columns), for every pixel.
template <int columns, int width, class T>
__device__ __forceinline__ void spread_over_pixels(const float* gradients, const Columns& of, int pixels, const int* samples, int count, T* dx) {
  const LinesOfSample<columns> place(count);
  const int own = of.own<columns>(), left = of.A - own;
  if (place.sample >= count || left <= 0) return;
  float values[4];
  load_packed(gradients + place.sample * columns + Threads<columns>::column(), values);
  T* to = dx + std::int64_t{samples[place.sample]} * pixels * of.A + own;
  for (int pixel = place.part; pixel < pixels; pixel += place.share) tile::store_four<width>(to + std::int64_t{pixel} * of.A, left, values);
}

}  // namespace isda::kernels::class_block
