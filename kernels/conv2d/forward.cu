// SPDX-License-Identifier: Apache-2.0
// The convolution on the card (kernels/conv2d/implicit_gemm.cuh), for each group
//
//   y (pixels, K) = patches of f(x) (pixels, R*S*C) * weight' (R*S*C, K)
//
// Both operands lie along the depth: a patch has its channels side by side, and so has a row of the weights.
// The epilogue adds the residual, stores y, and, where statistics are asked for, takes mean and centred squares of the block's rows of y as stored, in two
// passes over the tile in shared memory. The last block merges those of all blocks, n_i rows with mean_i and squares_i each (Chan, Golub, LeVeque 1983):
//
//   mean = sum n_i mean_i / n        squares = sum (squares_i + n_i (mean_i - mean)^2)
//
//   tiles 128 x 16, 128 x 32 or 64 x 64, by K;   FLOP  2 pixels K R S C, for f32 by 3xtf32 three times that on the tensor cores
//   bytes  y once, the residual once; x once a tap and 64 channels of y, of which the caches keep most; the weights once a tile of rows, from the L2 cache
#include "kernels/conv2d/epilogue.cuh"

namespace isda::kernels {

namespace {

using namespace implicit_gemm;

using Tiles = Tilings<Tiling<128, 16, 4>, Tiling<128, 32, 4>, Tiling<64, 64, 2>>;

template <class T>
struct Forward {
  Patches<Source<T>> x;
  Pixels<Source<T>> weight;
  T* y;
  const T* residual;       // may be y
  float *mean, *variance;  // (K), or null
  BlockSums moments;       // mean and centred squares of each row block
  int K;
  bool stores_packed;
};

// Mean and centred squares of `rows` rows of the tile, whose sum over a line is `sum`.
template <int width, class T, class Tiling>
__device__ __forceinline__ void take_moments(const Forward<T>& conv, const SharedTile<Tiling>& tile, const BlockPlace<Tiling>& block, int rows,
                                             const float (&sum)[width]) {
  const Walk<Tiling, width> walk;
  sum_lines(sum, tile);
  float mean[width], squares[width] = {};
  load_channels(tile.totals + walk.column, mean);
#pragma unroll
  for (int i = 0; i < width; ++i) mean[i] /= static_cast<float>(rows);
  for (int row = walk.line; row < rows; row += walk.kLines) {
    float values[width];
    load_channels(tile.at(row, walk.column), values);
#pragma unroll
    for (int i = 0; i < width; ++i) squares[i] += (values[i] - mean[i]) * (values[i] - mean[i]);
  }
  const int column = static_cast<int>(threadIdx.x);
  const bool has_column = column < Tiling::kColumns && block.first_column + column < conv.weight.row_count;
  const std::int64_t at = std::int64_t{block.row_block} * conv.K + block.group * conv.weight.row_count + block.first_column + column;
  if (has_column) conv.moments.first[at] = tile.totals[column] / static_cast<float>(rows);
  sum_lines(squares, tile);
  if (has_column) conv.moments.second[at] = tile.totals[column];
}

// The moments of all blocks as one.
template <int width, class T, class Tiling>
__device__ __forceinline__ void merge_moments(const Forward<T>& conv, const SharedTile<Tiling>& tile, const BlockPlace<Tiling>& block) {
  const int all_rows = conv.x.row_count, row_blocks = (all_rows + Tiling::kRows - 1) / Tiling::kRows;
  if (!is_last_of_column(conv.moments, block, row_blocks)) return;
  const Walk<Tiling, width> walk;
  const int first_channel = block.group * conv.weight.row_count + block.first_column;
  const bool is_used = block.first_column + walk.column < conv.weight.row_count;
  // body(n_i, mean_i, at) for the blocks of this line.
  const auto for_blocks = [&](auto&& body) {
    if (!is_used) return;
#pragma unroll 4
    for (int i = walk.line; i < row_blocks; i += walk.kLines) {
      const int left = all_rows - i * Tiling::kRows;
      const std::int64_t at = std::int64_t{i} * conv.K + first_channel + walk.column;
      float means[width];
      load_channels(conv.moments.first + at, means);
      body(static_cast<float>(left < Tiling::kRows ? left : Tiling::kRows), means, at);
    }
  };
  // The mean.
  float sum[width] = {}, mean[width], squares[width] = {};
  for_blocks([&](float rows, const float(&means)[width], std::int64_t) {
#pragma unroll
    for (int c = 0; c < width; ++c) sum[c] += rows * means[c];
  });
  sum_lines(sum, tile);
  load_channels(tile.totals + walk.column, mean);
#pragma unroll
  for (int c = 0; c < width; ++c) mean[c] /= static_cast<float>(all_rows);
  const int column = static_cast<int>(threadIdx.x);
  const bool has_column = column < Tiling::kColumns && block.first_column + column < conv.weight.row_count;
  if (has_column) conv.mean[first_channel + column] = tile.totals[column] / static_cast<float>(all_rows);
  // The squares.
  for_blocks([&](float rows, const float(&means)[width], std::int64_t at) {
    float of_block[width];
    load_channels(conv.moments.second + at, of_block);
#pragma unroll
    for (int c = 0; c < width; ++c) squares[c] += of_block[c] + rows * (means[c] - mean[c]) * (means[c] - mean[c]);
  });
  sum_lines(squares, tile);
  if (has_column) conv.variance[first_channel + column] = tile.totals[column] / static_cast<float>(all_rows);
}

template <int width, class T, class Tiling>
__device__ __forceinline__ void store_y(const Forward<T>& conv, const SharedTile<Tiling>& tile, const BlockPlace<Tiling>& block) {
  const Walk<Tiling, width> walk;
  const int rows = block.rows(conv.x.row_count), column = block.first_column + walk.column;
  float sum[width] = {};
  if (column < conv.weight.row_count) {
    for (int row = walk.line; row < rows; row += walk.kLines) {
      const std::int64_t at = std::int64_t{block.first_row + row} * conv.K + block.group * conv.weight.row_count + column;
      float values[width];
      load_channels(tile.at(row, walk.column), values);
      if (conv.residual) add_packed(values, conv.residual + at);
      store_packed(conv.y + at, values);
      if (!conv.mean) continue;
      round_to<T>(values);
      store_channels(tile.at(row, walk.column), values);
#pragma unroll
      for (int i = 0; i < width; ++i) sum[i] += values[i];
    }
  }
  if (!conv.mean) return;
  take_moments(conv, tile, block, rows, sum);
  merge_moments<width>(conv, tile, block);
}

template <class T, Load load>
using PatchOperand = Operand<Along::k, load, Patches<Source<T>>>;
template <class T, Load load>
using WeightOperand = Operand<Along::k, load == Load::single ? Load::single : Load::async, Pixels<Source<T>>>;

template <class T, class Tiling, Load load>
constexpr std::size_t kSharedBytes = shared_bytes<Tiling, PatchOperand<T, load>, WeightOperand<T, load>, kPacked<T>>();

// NOTE: with a least number of blocks that leaves registers enough: ptxas, left alone, spills one or two to fit another block.
template <class T, class Tiling, Load load, F32Products products>
__global__ void __launch_bounds__(kThreads, 3) forward_kernel(const __grid_constant__ Forward<T> conv) {
  SharedCarver carver;
  T* shared = carver.template take<T>(kSharedBytes<T, Tiling, load> / sizeof(T), 128);
  const BlockPlace<Tiling> block(conv.weight.row_count);
  PatchOperand<T, load> patches{conv.x};
  WeightOperand<T, load> weight{conv.weight};
  patches.matrix.first_channel = block.group * conv.x.depth.value();
  weight.matrix.source.values += std::int64_t{block.group} * conv.weight.row_count * conv.weight.channels;

  typename Tiling::Sums sums = {};
  accumulate<Tiling, products>(patches, weight, block.first_row, block.first_column, 0, conv.x.column_count, shared, sums);

  const SharedTile<Tiling> tile(shared, kPacked<T>);
  spread(sums, tile);
  if (conv.stores_packed)
    store_y<kPacked<T>>(conv, tile, block);
  else
    store_y<1>(conv, tile, block);
}

}  // namespace

void run(Cuda, const Context& context, const Conv2d& op) {
  conv2d::check_card_limits(op);
  const std::int64_t K = op.weight.extent(0), group_K = K / op.groups, group_C = op.weight.extent(3), depth = op.weight.size() / K, rows = op.y.size() / K;
  const Conv2dEpilogue::Statistics& statistics = op.epilogue.statistics;
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    const bool is_aligned = group_C % kPacked<T> == 0 && are_aligned({op.x, op.weight, op.prologue.scale, op.prologue.shift});
    dispatch<T, Tiles>(context, group_K, is_aligned, has_word(op.prologue), [&]<class Tiling, Load load, F32Products products>() {
      Scratch scratch = context.scratch();
      Forward<T> conv{.x = patches_of(source_of<T>(op.x, op.prologue), op.x, op.weight, op.y, op),
                      .weight = {.source = {.values = elements<T>(op.weight)},
                                 .row_count = static_cast<int>(group_K),
                                 .column_count = static_cast<int>(depth),
                                 .channels = static_cast<int>(depth)},
                      .y = elements<T>(op.y),
                      .residual = elements<T>(op.epilogue.residual),
                      .mean = statistics.mean.as<float>(),
                      .variance = statistics.variance.as<float>(),
                      .moments = {},
                      .K = static_cast<int>(K),
                      .stores_packed = group_K % kPacked<T> == 0 && are_aligned({op.y, op.epilogue.residual})};
      const dim3 grid = grid_of<Tiling>(op.name, "y", op.y, rows, group_K, op.groups);
      if (statistics.mean) conv.moments = take_block_sums(context, scratch, blocks_for(rows, Tiling::kRows), K, grid);
      launch(context, {.name = op.name, .grid = grid, .block = kThreads, .shared_bytes = kSharedBytes<T, Tiling, load>},
             forward_kernel<T, Tiling, load, products>, conv);
    });
  });
}

}  // namespace isda::kernels
