// SPDX-License-Identifier: Apache-2.0
// The gradient of a convolution's input on the card (kernels/conv2d/implicit_gemm.cuh), for each group
//
//   dx (pixels, C) = patches of dy' (pixels, R*S*K) * weight (R*S*K, C)        a gather: every pixel of dx is written once, nothing is added in memory
//
// Pixel (h,w) was seen by output (p,q) under tap (r,s) where p*stride = h + padding - r, and q likewise. So which taps count depends on h and w modulo
// the stride alone: pixels fall into stride*stride classes, and within a class everything is as without a stride. For class (a,b), with
//
//   first_r = (a + padding) % stride,   h = i*stride + a,   r = u*stride + first_r:      p = i + (a + padding - first_r) / stride - u
//
//     stride 2, padding 1, 3 x 3:   a b a b      a: one tap in this direction (r = 1)     no product with a zero that lies between the
//     (1 x 1, 1 x 2, 2 x 1 and      c d c d      b: two (r = 0, 2)                        pixels of dy is ever computed
//      2 x 2 taps: 9 in all)        a b a b
//
// dy' lies along the depth (u,v,k), weight along C. The epilogue adds the residual, applies the mask, stores dx and takes the two sums of what was stored,
// which the last block adds up.
//
//   tiles 128 x 16, 128 x 32 or 64 x 64, by C;   FLOP  2 pixels of y K R S C, for f32 by 3xtf32 three times that on the tensor cores
//   bytes  dx, residual, mask.x and sums.x once; dy (and y) once a tap and 64 channels of dx, of which the caches keep most
#include "kernels/conv2d/epilogue.cuh"

namespace isda::kernels {

namespace {

using namespace implicit_gemm;

using Tiles = Tilings<Tiling<128, 16, 4>, Tiling<128, 32, 4>, Tiling<64, 64, 2>>;

// The weights of a class of taps, as a matrix: row (u,v,k), column c is weight[k, first_r + u*step, first_s + v*step, c].
template <class T>
struct TapWeights {
  using Element = T;
  Source<T> source;
  int row_count, column_count;
  Divisor taps, depth;  // extents of v and k
  int R, S, step;
  int first_r = 0, first_s = 0;

  __device__ __forceinline__ Place place(int row, int column) const {
    int u = row;
    const int k = depth.divide(u), v = taps.divide(u);
    const int r = first_r + u * step, s = first_s + v * step;
    return {row < row_count && column < column_count, 0, ((std::int64_t{k} * R + r) * S + s) * column_count + column};
  }
};

template <class T>
struct BackwardData {
  Patches<Source<T, true>> dy;  // of class (0,0), as far as it is the same for all
  TapWeights<T> weight;
  Divisor many_taps, few_taps;  // S / stride, rounded up and down
  int H, W, C, stride, padding;
  T* dx;
  const T *residual, *mask, *centred;  // centred: sums.x
  const float *mask_scale, *mask_shift, *mean;
  float *sum, *sum_centred;  // (C), or null
  BlockSums sums;            // of each class and row block
  bool stores_packed;
};

// The classes of pixels: a block's is blockIdx.z.
struct PixelClass {
  int a, b, first_r, first_s, rows_of_taps, columns_of_taps;

  template <class T>
  __device__ __forceinline__ explicit PixelClass(const BackwardData<T>& conv) {
    const int stride = conv.stride;
    a = static_cast<int>(blockIdx.z) / stride;
    b = static_cast<int>(blockIdx.z) % stride;
    first_r = (a + conv.padding) % stride;
    first_s = (b + conv.padding) % stride;
    rows_of_taps = first_r < conv.weight.R ? (conv.weight.R - first_r + stride - 1) / stride : 0;
    columns_of_taps = first_s < conv.weight.S ? (conv.weight.S - first_s + stride - 1) / stride : 0;
  }
};

template <int width>
__device__ __forceinline__ void apply_mask(float (&values)[width], const float (&x)[width], const float* scale, const float* shift, int channel) {
  float scales[width], shifts[width];
  if (scale) {
    load_channels(scale + channel, scales);
    load_channels(shift + channel, shifts);
  }
#pragma unroll
  for (int i = 0; i < width; ++i) {
    const float z = scale ? x[i] * scales[i] + shifts[i] : x[i];
    // NOTE: where z is NaN, g is 0.
    values[i] = z > 0 ? values[i] : 0.0f;
  }
}

template <int width, class T, class Tiling>
__device__ __forceinline__ void store_dx(const BackwardData<T>& conv, const SharedTile<Tiling>& tile, const BlockPlace<Tiling>& block,
                                         const PixelClass& pixels) {
  const Walk<Tiling, width> walk;
  const int columns = conv.weight.column_count, rows = block.rows(conv.dy.row_count);
  const int column = block.first_column + walk.column, channel = block.group * columns + column;
  float sum[width] = {}, sum_centred[width] = {}, means[width] = {};
  if (column < columns) {
    if (conv.mean) load_channels(conv.mean + channel, means);
    for (int row = walk.line; row < rows; row += walk.kLines) {
      // The pixel. NOTE: where H or W is no multiple of the stride, the last of some classes do not exist.
      int i = block.first_row + row;
      const int w = conv.dy.columns.divide(i) * conv.stride + pixels.b, n = conv.dy.rows.quotient(i);
      const int h = (i - n * conv.dy.rows.value()) * conv.stride + pixels.a;
      if (h >= conv.H || w >= conv.W) continue;
      const std::int64_t at = ((std::int64_t{n} * conv.H + h) * conv.W + w) * conv.C + channel;
      // g += residual, masked, stored.
      float values[width], x[width];
      load_channels(tile.at(row, walk.column), values);
      if (conv.residual) add_packed(values, conv.residual + at);
      if (conv.mask) {
        load_packed(conv.mask + at, x);
        apply_mask(values, x, conv.mask_scale, conv.mask_shift, channel);
      }
      store_packed(conv.dx + at, values);
      if (!conv.centred) continue;
      round_to<T>(values);
      load_packed(conv.centred + at, x);
#pragma unroll
      for (int c = 0; c < width; ++c) {
        sum[c] += values[c];
        sum_centred[c] += values[c] * (x[c] - means[c]);
      }
    }
  }
  if (!conv.centred) return;
  // The block's sums.
  const int mine = static_cast<int>(threadIdx.x);
  const bool has_column = mine < Tiling::kColumns && block.first_column + mine < columns;
  const std::int64_t row_blocks = (conv.dy.row_count + Tiling::kRows - 1) / Tiling::kRows;
  const std::int64_t at = (blockIdx.z * row_blocks + block.row_block) * conv.C + block.group * columns + block.first_column + mine;
  sum_lines(sum, tile);
  if (has_column) conv.sums.first[at] = tile.totals[mine];
  sum_lines(sum_centred, tile);
  if (has_column) conv.sums.second[at] = tile.totals[mine];
  // Those of all blocks.
  if (!is_last_of_column(conv.sums, block, static_cast<int>(row_blocks))) return;
  const auto add_blocks = [&](const float* partials, float* result) {
    float total[width] = {};
    if (column < columns) {
#pragma unroll 4
      for (std::int64_t i = walk.line; i < row_blocks * gridDim.z; i += walk.kLines) add_packed(total, partials + i * conv.C + channel);
    }
    sum_lines(total, tile);
    if (has_column) result[block.group * columns + block.first_column + mine] = tile.totals[mine];
  };
  add_blocks(conv.sums.first, conv.sum);
  add_blocks(conv.sums.second, conv.sum_centred);
}

template <class T, Load load>
using GradientOperand = Operand<Along::k, load, Patches<Source<T, true>>>;
template <class T, Load load>
using WeightOperand = Operand<Along::other, load == Load::single ? Load::single : Load::async, TapWeights<T>>;

template <class T, class Tiling, Load load>
constexpr std::size_t kSharedBytes = shared_bytes<Tiling, GradientOperand<T, load>, WeightOperand<T, load>, kPacked<T>>();

// NOTE: with a least number of blocks that leaves registers enough: ptxas, left alone, spills one or two to fit another block.
template <class T, class Tiling, Load load, F32Products products>
__global__ void __launch_bounds__(kThreads, 2) backward_data_kernel(const __grid_constant__ BackwardData<T> conv) {
  SharedCarver carver;
  T* shared = carver.template take<T>(kSharedBytes<T, Tiling, load> / sizeof(T), 128);
  const BlockPlace<Tiling> block(conv.weight.column_count);
  const PixelClass pixels(conv);
  const int group_K = conv.weight.depth.value(), depth = pixels.rows_of_taps * pixels.columns_of_taps * group_K;

  GradientOperand<T, load> dy{conv.dy};
  dy.matrix.column_count = depth;
  dy.matrix.taps = pixels.columns_of_taps == conv.many_taps.value() ? conv.many_taps : conv.few_taps;
  dy.matrix.first_h = (pixels.a + conv.padding - pixels.first_r) / conv.stride;
  dy.matrix.first_w = (pixels.b + conv.padding - pixels.first_s) / conv.stride;
  dy.matrix.first_channel = block.group * group_K;
  WeightOperand<T, load> weight{conv.weight};
  weight.matrix.row_count = depth;
  weight.matrix.taps = dy.matrix.taps;
  weight.matrix.first_r = pixels.first_r;
  weight.matrix.first_s = pixels.first_s;
  weight.matrix.source.values += std::int64_t{block.group} * group_K * conv.weight.R * conv.weight.S * conv.weight.column_count;

  typename Tiling::Sums sums = {};
  accumulate<Tiling, products>(dy, weight, block.first_row, block.first_column, 0, depth, shared, sums);

  const SharedTile<Tiling> tile(shared, kPacked<T>);
  spread(sums, tile);
  if (conv.stores_packed)
    store_dx<kPacked<T>>(conv, tile, block, pixels);
  else
    store_dx<1>(conv, tile, block, pixels);
}

template <class T>
BackwardData<T> arguments_of(const Conv2dBackwardData& op) {
  const auto [N, H, W, C] = op.dx.extents<4>();
  const auto [K, R, S, group_C] = op.weight.extents<4>();
  const std::int64_t group_K = K / op.groups, rows = blocks_for(H, op.stride), columns = blocks_for(W, op.stride);
  const auto& [residual, mask, sums] = op.epilogue;
  return {.dy = {.source = source_of<T>(op.dy, op.prologue),
                 .row_count = static_cast<int>(N * rows * columns),
                 .rows = Divisor(rows),
                 .columns = Divisor(columns),
                 .depth = Divisor(group_K),
                 .H = static_cast<int>(op.dy.extent(1)),
                 .W = static_cast<int>(op.dy.extent(2)),
                 .C = static_cast<int>(K),
                 .step = 1,
                 .tap_step = -1},
          .weight = {.source = {.values = elements<T>(op.weight)},
                     .column_count = static_cast<int>(group_C),
                     .depth = Divisor(group_K),
                     .R = static_cast<int>(R),
                     .S = static_cast<int>(S),
                     .step = op.stride},
          .many_taps = Divisor(blocks_for(S, op.stride)),
          .few_taps = Divisor(std::max<std::int64_t>(S / op.stride, 1)),
          .H = static_cast<int>(H),
          .W = static_cast<int>(W),
          .C = static_cast<int>(C),
          .stride = op.stride,
          .padding = op.padding,
          .dx = elements<T>(op.dx),
          .residual = elements<T>(residual),
          .mask = elements<T>(mask.x),
          .centred = elements<T>(sums.x),
          .mask_scale = mask.scale.as<float>(),
          .mask_shift = mask.shift.as<float>(),
          .mean = sums.mean.as<float>(),
          .sum = sums.sum.as<float>(),
          .sum_centred = sums.sum_centred.as<float>(),
          .stores_packed = group_C % kPacked<T> == 0 && are_aligned({op.dx, residual, mask.x, mask.scale, mask.shift, sums.x, sums.mean})};
}

}  // namespace

void run(Cuda, const Context& context, const Conv2dBackwardData& op) {
  conv2d::check_card_limits(op);
  const std::int64_t C = op.dx.extent(3), group_C = C / op.groups, group_K = op.dy.extent(3) / op.groups;
  const unsigned classes = static_cast<unsigned>(op.stride) * static_cast<unsigned>(op.stride);
  const auto& prologue = op.prologue;
  dispatch_cuda(op.name, op.dx.type(), [&]<class T>() {
    const bool is_aligned =
        group_K % kPacked<T> == 0 && group_C % kPacked<T> == 0 && are_aligned({op.dy, op.weight, prologue.y, prologue.scale, prologue.y_scale, prologue.shift});
    dispatch<T, Tiles>(context, group_C, is_aligned, has_word(prologue), [&]<class Tiling, Load load, F32Products products>() {
      Scratch scratch = context.scratch();
      BackwardData<T> conv = arguments_of<T>(op);
      const dim3 grid = grid_of<Tiling>(op.name, "dx", op.dx, conv.dy.row_count, group_C, op.groups, classes);
      if (op.epilogue.sums.x) conv.sums = take_block_sums(context, scratch, std::int64_t{classes} * blocks_for(conv.dy.row_count, Tiling::kRows), C, grid);
      launch(context, {.name = op.name, .grid = grid, .block = kThreads, .shared_bytes = kSharedBytes<T, Tiling, load>},
             backward_data_kernel<T, Tiling, load, products>, conv);
    });
  });
}

}  // namespace isda::kernels
