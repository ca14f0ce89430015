// SPDX-License-Identifier: Apache-2.0
// The streaming pass on tensor cores. A block of 128 threads takes 128 columns of one S_c, each of its four warps 32, and walks down the rows by steps of 16:
//
//   cp.async brings the next steps, four stages deep: 16 columns of W, to all, and 16 x 128 of S_c, to each thread what it will use itself
//   a thread gives its 4 x 4 of S_c their terms, keep S + sum_k z_k z_k^T, writes them back, and has in them its fragments of the product's right operand
//   the fragments of the left operand are D_c = W - w_c, subtracted as they are loaded
//   mma.sync multiplies all classes j, up to 112 at a time, by 32 columns of S_c: U_c stays in registers until the last row
//   then U_c is written, and what the block's columns give to Q[c,j] = U_c[j] . D_c[j]
//
// So S_c goes from memory to registers to memory, and what waits for barriers is W alone. Which of a fragment's rows and columns is which of the matrix's,
// the product does not mind, as long as both operands agree: lane (g,t) = (lane / 4, lane % 4) has
//
//   S_c   rows 4 t ... 4 t + 3 of the step, columns 4 g ... 4 g + 3 of the warp: 16 bytes a row, 128 bytes side by side
//   D_c   rows g and g + 8 of each 16, columns 4 t ... 4 t + 3 of the step: 16 bytes each, of rows of 64 bytes that lie behind each other
//   U_c   rows g and g + 8 of each 16, columns 8 t ... 8 t + 7 of the warp
//
// Where rows are aligned to pieces of two elements or one only, a thread's columns are pieces apart, 2 g and 16 + 2 g or g, 8 + g, 16 + g, 24 + g, so that
// what a warp asks for at a time still lies side by side.
//
//   bytes  S_c of the present classes once, and once more for each further 112 classes j; written once; U written; W A / 128 times a class, from L2
//   FLOP   2 K C A^2, three times that on the tensor cores with three_tf32; 2 (N + K) A^2 on CUDA cores
//
// Every class's sums have one order: rows of S_c ascending by steps, within a step as the tensor core adds them; the four warps' parts of Q in order.
#include "kernels/isda/streaming_pass.cuh"

#include "kernels/common/tensor_core.cuh"
#include "kernels/isda/tile.cuh"

namespace isda::kernels {

namespace {

constexpr int kThreads = 128, kWarps = kThreads / kWarp, kStages = 4;
constexpr int kDepth = 16;                                  // rows of S_c, columns of W, a step
constexpr int kColumns = StreamingPass::kColumns / kWarps;  // of a warp
constexpr int kOwn = 4;                                     // rows, and columns, of S_c that a thread has of a step

// A block's shared memory.
template <int row_tiles>
struct Stages {
  static constexpr int kRows = 16 * row_tiles;          // classes j at a time
  static constexpr int kWeight = (kRows + 1) * kDepth;  // floats of a stage: rows of W, and behind them w_c
  static constexpr int kCovariance = kThreads * kOwn * kOwn;

  float* weight;
  float* covariance;
  float* products;  // (kWarps,kRows): Q, of each warp's columns

  __device__ __forceinline__ Stages() {
    SharedCarver carver;
    weight = carver.take<float>(kStages * kWeight);
    covariance = carver.take<float>(kStages * kCovariance);
    products = carver.take<float>(kWarps * kRows);
  }
  static constexpr std::size_t bytes() { return (kStages * (kWeight + kCovariance) + kWarps * kRows) * sizeof(float); }
};

// Where a thread stands.
struct Place {
  int slot, part;
  int c;       // the class
  int group;   // of the lane: row of D_c and U_c
  int thread;  // in the group: four columns of D_c, four rows of S_c, eight columns of U_c
  int first;   // of the warp's columns

  // Of S_c, piece `piece` of the thread: its first column. A piece is there as a whole or not.
  template <int width>
  __device__ __forceinline__ int column(int piece) const {
    return first + (8 * piece + group) * width;
  }
};

// Where piece `piece` of the thread's row i lies in a stage of S_c: what the threads of a warp have there lies side by side.
template <int width>
__device__ __forceinline__ int offset_in_stage(int i, int piece) {
  return ((i * (kOwn / width) + piece) * kThreads + static_cast<int>(threadIdx.x)) * width;
}

// Asks for step `step` of the classes from `first` on.
template <int row_tiles, int width>
__device__ __forceinline__ void request_step(const StreamingPass& op, const Stages<row_tiles>& stages, const Place& place, int first, int step) {
  using Shared = Stages<row_tiles>;
  const int depth = step * kDepth, stage = step % kStages;
  if (depth < op.A) {
    constexpr int kPieces = kDepth / width;  // of a row
    for (int piece = static_cast<int>(threadIdx.x); piece < Shared::kWeight / width; piece += kThreads) {
      const int row = piece / kPieces, a = depth + piece % kPieces * width;
      const bool is_own = row == Shared::kRows;
      const int j = is_own ? place.c : first + row;
      const bool is_there = (is_own || j < op.C) && a < op.A;
      ptx::cp_async<4 * width>(stages.weight + stage * Shared::kWeight + piece * width, is_there ? op.weight + std::int64_t{j} * op.A + a : op.weight,
                               is_there);
    }
    const float* S = op.covariance + std::int64_t{place.c} * op.A * op.A;
    float* to = stages.covariance + stage * Shared::kCovariance;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      const int row = depth + kOwn * place.thread + i;
#pragma unroll
      for (int piece = 0; piece < kOwn / width; ++piece) {
        const int column = place.column<width>(piece);
        const bool is_there = row < op.A && column < op.A;
        ptx::cp_async<4 * width>(to + offset_in_stage<width>(i, piece), is_there ? S + std::int64_t{row} * op.A + column : S, is_there);
      }
    }
  }
  // NOTE: behind the last step empty groups go on being committed, so that the wait counts the same in every turn.
  ptx::cp_async_commit();
}

// The thread's columns of a row; zeros where it ends.
template <int width>
__device__ __forceinline__ void load_pieces(const float* row, const Place& place, int A, float (&values)[kOwn]) {
#pragma unroll
  for (int piece = 0; piece < kOwn / width; ++piece) {
    float part[width] = {};
    const int column = place.column<width>(piece);
    if (column < A) load_packed(row + column, part);
#pragma unroll
    for (int j = 0; j < width; ++j) values[piece * width + j] = part[j];
  }
}

// s <- keep s + sum_k z_k z_k^T, back to memory. NOTE: rounded as by add_terms_on_card, to the bit.
template <int width>
__device__ __forceinline__ void add_terms(const StreamingPass& op, const Place& place, int row, float keep, int rank, float (&s)[kOwn][kOwn]) {
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
#pragma unroll
    for (float& value : s[i]) value *= keep;
  }
  const float* z = op.terms.rows + op.terms.first_row(op.members, place.slot) * op.A;
  // NOTE: for single elements not, for the registers' sake.
#pragma unroll(width > 1 ? 2 : 1)
  for (int k = 0; k < rank; ++k, z += op.A) {
    float of_rows[kOwn], of_columns[kOwn];
    tile::load_four<width>(z + row, op.A - row, of_rows);
    load_pieces<width>(z, place, op.A, of_columns);
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
#pragma unroll
      for (int j = 0; j < kOwn; ++j) s[i][j] = fmaf(of_rows[i], of_columns[j], s[i][j]);
    }
  }
  float* to = op.covariance + (std::int64_t{place.c} * op.A + row) * op.A;
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
#pragma unroll
    for (int piece = 0; piece < kOwn / width; ++piece) {
      float part[width];
#pragma unroll
      for (int j = 0; j < width; ++j) part[j] = s[i][piece * width + j];
      const int column = place.column<width>(piece);
      if (row + i < op.A && column < op.A) store_packed(to + std::int64_t{i} * op.A + column, part);
    }
  }
}

// A number as TF32, and what is left of it.
struct Split {
  std::uint32_t high, low;
};
__device__ __forceinline__ Split split(float value) {
  const std::uint32_t high = ptx::to_tf32(value);
  return {high, ptx::to_tf32(value - __uint_as_float(high))};
}

// U_c += D_c S_c for one step. weight: its stage. sums[tile of rows][column of the thread's four in S_c]
template <int row_tiles, F32Products products>
__device__ __forceinline__ void multiply_step(const float* weight, const Place& place, const float (&s)[kOwn][kOwn], float (&sums)[row_tiles][kOwn][4]) {
  constexpr int kHalves = kDepth / 8;
  Split of_s[kHalves][kOwn][2];
#pragma unroll
  for (int half = 0; half < kHalves; ++half) {
#pragma unroll
    for (int j = 0; j < kOwn; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) of_s[half][j][i] = split(s[2 * half + i][j]);
    }
  }
  const int column = kOwn * place.thread;
  float own[4];
  load_packed(weight + Stages<row_tiles>::kRows * kDepth + column, own);
#pragma unroll
  for (int tile = 0; tile < row_tiles; ++tile) {
    float d[2][4];
#pragma unroll
    for (int lower = 0; lower < 2; ++lower) {
      load_packed(weight + (16 * tile + place.group + 8 * lower) * kDepth + column, d[lower]);
#pragma unroll
      for (int i = 0; i < 4; ++i) d[lower][i] -= own[i];
    }
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      std::uint32_t high[4], low[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const Split value = split(d[i % 2][2 * half + i / 2]);
        high[i] = value.high;
        low[i] = value.low;
      }
#pragma unroll
      for (int j = 0; j < kOwn; ++j) {
        const std::uint32_t s_high[2] = {of_s[half][j][0].high, of_s[half][j][1].high};
        if constexpr (products == F32Products::three_tf32) {
          const std::uint32_t s_low[2] = {of_s[half][j][0].low, of_s[half][j][1].low};
          ptx::mma_m16n8k8_tf32(sums[tile][j], low, s_high);
          ptx::mma_m16n8k8_tf32(sums[tile][j], high, s_low);
        }
        ptx::mma_m16n8k8_tf32(sums[tile][j], high, s_high);
      }
    }
  }
}

// Writes the thread's rows of U_c, and leaves what its warp's columns give to Q.
template <int row_tiles, int width>
__device__ __forceinline__ void finish(const StreamingPass& op, const Stages<row_tiles>& stages, const Place& place, int first,
                                       const float (&sums)[row_tiles][kOwn][4]) {
  // Pieces of neighbouring columns: of each of the thread's in S_c two, which the tensor core's columns 2 t and 2 t + 1 are.
  constexpr int kPieces = 2 * kOwn / width;
  const auto column_of = [&](int piece) { return place.first + (8 * (piece / 2) + 2 * place.thread + piece % 2) * width; };
  float own[kPieces][width] = {};
#pragma unroll
  for (int piece = 0; piece < kPieces; ++piece) {
    if (column_of(piece) < op.A) load_packed(op.weight + std::int64_t{place.c} * op.A + column_of(piece), own[piece]);
  }
#pragma unroll
  for (int tile = 0; tile < row_tiles; ++tile) {
#pragma unroll
    for (int lower = 0; lower < 2; ++lower) {
      const int row = 16 * tile + place.group + 8 * lower, j = first + row;
      float product = 0;
#pragma unroll
      for (int piece = 0; piece < kPieces; ++piece) {
        if (j >= op.C || column_of(piece) >= op.A) continue;
        float values[width], w[width];
#pragma unroll
        for (int i = 0; i < width; ++i) values[i] = sums[tile][piece / 2 * width + i][2 * lower + piece % 2];
        load_packed(op.weight + std::int64_t{j} * op.A + column_of(piece), w);
        store_packed(op.u + (std::int64_t{place.slot} * op.C + j) * op.A + column_of(piece), values);
#pragma unroll
        for (int i = 0; i < width; ++i) product += values[i] * (w[i] - own[piece][i]);
      }
      product = warp_sum<4>(product);
      if (place.thread == 0) stages.products[static_cast<int>(threadIdx.x) / kWarp * Stages<row_tiles>::kRows + row] = product;
    }
  }
}

// Blocks: slots by parts, the parts of a slot beside each other.
template <int row_tiles, int width, F32Products products>
__global__ void __launch_bounds__(kThreads, 2) streaming_pass_kernel(const __grid_constant__ StreamingPass op, int parts) {
  using Shared = Stages<row_tiles>;
  const Shared stages;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int slot = static_cast<int>(blockIdx.x) / parts, part = static_cast<int>(blockIdx.x) % parts;
  if (slot >= *op.members.present) return;
  const Place place{.slot = slot,
                    .part = part,
                    .c = op.members.classes[slot],
                    .group = lane / 4,
                    .thread = lane % 4,
                    .first = part * StreamingPass::kColumns + warp * kColumns};
  const int steps = (op.A + kDepth - 1) / kDepth, rank = op.terms.rows ? op.terms.rank(op.members, slot) : 0;
  const bool is_used = place.first<op.A, is_updated = rank> 0;
  const float keep = is_updated ? op.terms.kept(op.members, slot) : 1.0f;

  for (int first = 0; first < op.C; first += Shared::kRows) {
    for (int step = 0; step < kStages - 1; ++step) request_step<row_tiles, width>(op, stages, place, first, step);
    float sums[row_tiles][kOwn][4] = {};
    for (int step = 0; step < steps; ++step) {
      // This step has come, for every thread; and nobody reads any more the stage that is filled next.
      ptx::cp_async_wait<kStages - 2>();
      __syncthreads();
      request_step<row_tiles, width>(op, stages, place, first, step + kStages - 1);
      if (!is_used) continue;
      float s[kOwn][kOwn];
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
#pragma unroll
        for (int piece = 0; piece < kOwn / width; ++piece) {
          float values[width];
          load_packed(stages.covariance + step % kStages * Shared::kCovariance + offset_in_stage<width>(i, piece), values);
#pragma unroll
          for (int j = 0; j < width; ++j) s[i][piece * width + j] = values[j];
        }
      }
      if (is_updated && first == 0) add_terms<width>(op, place, step * kDepth + kOwn * place.thread, keep, rank, s);
      multiply_step<row_tiles, products>(stages.weight + step % kStages * Shared::kWeight, place, s, sums);
    }
    finish<row_tiles, width>(op, stages, place, first, sums);
    __syncthreads();
    for (int row = static_cast<int>(threadIdx.x); row < Shared::kRows && first + row < op.C; row += kThreads) {
      float sum = stages.products[row];
      for (int other = 1; other < kWarps; ++other) sum += stages.products[other * Shared::kRows + row];
      op.q[(std::int64_t{slot} * parts + part) * op.C + first + row] = sum;
    }
    // NOTE: what this thread wrote of S_c it asks for again, asynchronously, for the next classes.
    if (is_updated) __threadfence();
  }
  if (op.count && part == 0 && threadIdx.x == 0) op.count[place.c] += static_cast<float>(op.members.count(slot));
}

template <int row_tiles, int width>
void start(const Context& context, const StreamingPass& op, F32Products products) {
  const int parts = StreamingPass::parts(op.A);
  const LaunchShape shape{
      .name = "isda_streaming_pass", .grid = static_cast<unsigned>(op.members.most * parts), .block = kThreads, .shared_bytes = Stages<row_tiles>::bytes()};
  const auto kernel = products == F32Products::tf32 ? streaming_pass_kernel<row_tiles, width, F32Products::tf32>
                                                    : streaming_pass_kernel<row_tiles, width, F32Products::three_tf32>;
  launch(context, shape, kernel, op, parts);
}

}  // namespace

void run_streaming_pass(const Context& context, const StreamingPass& op, F32Products products) {
  const auto is_aligned = [](const float* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; };
  dispatch_width<float>(op.A, is_aligned(op.weight) && is_aligned(op.covariance) && is_aligned(op.u), [&]<int width>() {
    // NOTE: 112 classes at a time: so many sums a thread can hold.
    if (op.C <= 16)
      start<1, width>(context, op, products);
    else if (op.C <= 64)
      start<4, width>(context, op, products);
    else
      start<7, width>(context, op, products);
  });
}

}  // namespace isda::kernels
