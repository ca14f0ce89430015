// SPDX-License-Identifier: Apache-2.0
// One factor for every image and channel, and its gradient.
//
//   forward    x and y once; blocks take (rows of an image, channels), a thread keeps its factors in registers (kernels/common/channels.cuh)
//   backward   dy, x and dx once, in one pass: a block takes all rows of an image and 128 bytes of channels, adds up dy * x for each channel by threads,
//              then over the threads of the block in fixed order
//   Both are bound by memory where the images fill the card; backward has N * C / 64 blocks in bf16, N * C / 32 in f32.
#include "kernels/common/channels.cuh"
#include "kernels/elementwise/elementwise.h"

namespace isda::kernels {

namespace {

// NOTE: y may be x.
template <int width, class T>
__global__ void __launch_bounds__(ChannelGrid::kThreads) scale_channels_kernel(ChannelGrid grid, const T* x, const T* scale, T* y) {
  constexpr int batch = kRowBatch<T, width>;
  const ChannelPlace place = channel_place<width>(grid);
  if (!place.is_used) return;
  float factor[width];
  load_packed(scale + place.image * grid.channels + place.channel, factor);
  const std::int64_t step = row_step(grid);
  for_row_batches<batch>(grid, place, [&](std::int64_t offset, auto count) {
    Packed<T, width> rows[batch] = {};
    load_rows(x + offset, step, count, rows);
#pragma unroll
    for (int row = 0; row < batch; ++row) {
      if (row < count) {
        float values[width];
        unpack(rows[row], values);
#pragma unroll
        for (int c = 0; c < width; ++c) values[c] *= factor[c];
        store_packed(y + offset + row * step, values);
      }
    }
  });
}

// NOTE: dx may be dy.
template <int width, class T>
__global__ void __launch_bounds__(ChannelGrid::kThreads)
    scale_channels_backward_kernel(ChannelGrid grid, const T* dy, const T* x, const T* scale, T* dx, T* dscale) {
  constexpr int batch = kRowBatch<T, width>;
  SIMT_SHARED(shared, ChannelSums<width>[ChannelGrid::kThreads]);
  const ChannelPlace place = channel_place<width>(grid);
  const std::int64_t image_channel = place.image * grid.channels + place.channel;
  // Pass the gradient on, and add up this thread's rows.
  ChannelSums<width> sum{};
  if (place.is_used) {
    float factor[width];
    load_packed(scale + image_channel, factor);
    const std::int64_t step = row_step(grid);
    for_row_batches<batch>(grid, place, [&](std::int64_t offset, auto count) {
      Packed<T, width> rows_dy[batch] = {}, rows_x[batch] = {};
      load_rows(dy + offset, step, count, rows_dy);
      load_rows(x + offset, step, count, rows_x);
#pragma unroll
      for (int row = 0; row < batch; ++row) {
        if (row < count) {
          float gradient[width], values[width];
          unpack(rows_dy[row], gradient);
          unpack(rows_x[row], values);
#pragma unroll
          for (int c = 0; c < width; ++c) {
            sum.of[c] += gradient[c] * values[c];
            gradient[c] *= factor[c];
          }
          store_packed(dx + offset + row * step, gradient);
        }
      }
    });
  }
  // Add up the lines.
  sum = add_lines(sum, shared, grid, place);
  if (place.is_used && place.line == 0) {
    float sums[width];
#pragma unroll
    for (int c = 0; c < width; ++c) sums[c] = sum.of[c];
    store_packed(dscale + image_channel, sums);
  }
}

}  // namespace

void run(Cuda, const Context& context, const ScaleChannels& op) {
  const auto [N, H, W, C] = op.x.extents<4>();
  dispatch_cuda(op.name, op.x.type(), [&, N = N, pixels = H * W, C = C]<class T>() {
    dispatch_width<T>(C, are_aligned({op.x, op.scale, op.y}), [&]<int width>() {
      const ChannelGrid grid = channel_grid(N, pixels, C, width, kRowBatch<T, width>);
      launch(context, {.name = op.name, .grid = grid.extents(), .block = ChannelGrid::kThreads}, scale_channels_kernel<width, T>, grid, elements<T>(op.x),
             elements<T>(op.scale), elements<T>(op.y));
    });
  });
}

void run(Cuda, const Context& context, const ScaleChannelsBackward& op) {
  const auto [N, H, W, C] = op.x.extents<4>();
  dispatch_cuda(op.name, op.x.type(), [&, N = N, pixels = H * W, C = C]<class T>() {
    dispatch_width<T>(C, are_aligned({op.dy, op.x, op.scale, op.dx, op.dscale}), [&]<int width>() {
      const ChannelGridLimits limits{.most_columns = 128 / (width * sizeof(T)), .most_blocks = 1};
      const ChannelGrid grid = channel_grid(N, pixels, C, width, kRowBatch<T, width>, limits);
      launch(context, {.name = op.name, .grid = grid.extents(), .block = ChannelGrid::kThreads}, scale_channels_backward_kernel<width, T>, grid,
             elements<T>(op.dy), elements<T>(op.x), elements<T>(op.scale), elements<T>(op.dx), elements<T>(op.dscale));
    });
  });
}

}  // namespace isda::kernels
