// SPDX-License-Identifier: Apache-2.0
// What becomes of a block's tile of the product: from the registers of the tensor cores to shared memory, and from there, row by row, to where it belongs.
//
//   registers: a lane has pairs of neighbours in many rows            shared memory: rows of floats, 8 floats apart from each other
//   then a thread takes a packet of channels (16 bytes of the result) and walks down the rows; what belongs to a channel stays in registers
//
//   64 columns, packets of 8: 8 threads a row, 16 lines; thread 0..7 row 0, 8..15 row 1, ... 120..127 row 15; then row 16, ...
//
// Sums over the rows of a tile are taken line by line, in a fixed order; the last block of a column of tiles (kernels/common/last_block.cuh) takes those over
// the blocks in the same way: a line has every so many of them.
#pragma once
#include "kernels/common/last_block.cuh"
#include "kernels/conv2d/implicit_gemm.cuh"

namespace isda::kernels::implicit_gemm {

// NOTE: 8 words between rows: what lanes of four rows store at once meets in no bank.
template <class Tiling>
inline constexpr int kPitch = Tiling::kColumns + 8;

// How the threads of a block share the rows of a tile among them.
template <class Tiling, int width>
struct Walk {
  static constexpr int kPackets = Tiling::kColumns / width, kLines = kThreads / kPackets;
  int line = static_cast<int>(threadIdx.x) / kPackets, column = static_cast<int>(threadIdx.x) % kPackets * width;
};

// Shared memory: the stages of both operands; behind the product, the tile, and what each thread adds to its sums, and the sums.
template <class Tiling, class A, class B, int width>
constexpr std::size_t shared_bytes() {
  using TileA = typename A::template Tile<Tiling::kRows>;
  using TileB = typename B::template Tile<Tiling::kColumns>;
  const std::size_t stages = kStages * (TileA::kElements + TileB::kElements) * sizeof(typename TileA::Element);
  const std::size_t tile = (Tiling::kRows * kPitch<Tiling> + kThreads * width + Tiling::kColumns) * sizeof(float);
  return std::max(stages, tile);
}

template <class Tiling>
struct SharedTile {
  float* values;    // [kRows][kPitch]
  float* partials;  // [kThreads * width]
  float* totals;    // [kColumns]

  template <class T>
  __device__ SharedTile(T* shared, int width)
      : values(reinterpret_cast<float*>(shared)), partials(values + Tiling::kRows * kPitch<Tiling>), totals(partials + kThreads * width) {}

  __device__ float* at(int row, int column) const { return values + row * kPitch<Tiling> + column; }
};

// The block's sums from registers to the tile, for all threads to see.
template <class Tiling>
__device__ __forceinline__ void spread(const typename Tiling::Sums& sums, const SharedTile<Tiling>& tile) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
#pragma unroll
  for (int i = 0; i < Tiling::kWarpRows / 16; ++i) {
#pragma unroll
    for (int j = 0; j < Tiling::kWarpColumns / 8; ++j) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float pair[2] = {sums[i][j][2 * half], sums[i][j][2 * half + 1]};
        store_packed(tile.at(Tiling::warp_row() + 16 * i + lane / 4 + 8 * half, Tiling::warp_column() + 8 * j + lane % 4 * 2), pair);
      }
    }
  }
  __syncthreads();
}

// tile.totals[column] = the sum of `mine` over the lines, from the first to the last, for all threads to see.
// NOTE: may be called again at once: what the call before left is read by then, since totals are only written behind a barrier.
template <class Tiling, int width>
__device__ __forceinline__ void sum_lines(const float (&mine)[width], const SharedTile<Tiling>& tile) {
  const Walk<Tiling, width> walk;
  store_channels(tile.partials + walk.line * Tiling::kColumns + walk.column, mine);
  __syncthreads();
  const int column = static_cast<int>(threadIdx.x);
  if (column < Tiling::kColumns) {
    float sum = tile.partials[column];
#pragma unroll 8
    for (int line = 1; line < Walk<Tiling, width>::kLines; ++line) sum += tile.partials[line * Tiling::kColumns + column];
    tile.totals[column] = sum;
  }
  __syncthreads();
}

// Two numbers of each block for each channel, [blocks][channels], and a ticket for each column of tiles.
struct BlockSums {
  float *first = nullptr, *second = nullptr;
  unsigned* tickets = nullptr;
};

inline BlockSums take_block_sums(const Context& context, Scratch& scratch, std::int64_t blocks, std::int64_t channels, const dim3& grid) {
  return {.first = scratch.take<float>(blocks * channels), .second = scratch.take<float>(blocks * channels), .tickets = context.tickets(grid.x * grid.y)};
}

// Whether this is the last block of its column of tiles, of whose rows `row_blocks` blocks and blockIdx.z take care.
template <class Tiling>
__device__ __forceinline__ bool is_last_of_column(const BlockSums& sums, const BlockPlace<Tiling>& block, int row_blocks) {
  const unsigned columns = gridDim.x / static_cast<unsigned>(row_blocks);
  return is_last_block(sums.tickets + block.group * columns + blockIdx.x % columns, static_cast<unsigned>(row_blocks) * gridDim.z);
}

template <int width, class T>
__device__ __forceinline__ void add_packed(float (&values)[width], const T* from) {
  float other[width];
  load_packed(from, other);
#pragma unroll
  for (int i = 0; i < width; ++i) values[i] += other[i];
}

// As they are once they are stored as T.
template <class T, int width>
__device__ __forceinline__ void round_to(float (&values)[width]) {
#pragma unroll
  for (int i = 0; i < width; ++i) values[i] = to_float(from_float<T>(values[i]));
}

}  // namespace isda::kernels::implicit_gemm
