// SPDX-License-Identifier: Apache-2.0
// Global average on the card.
//
//   forward    x once: a block takes all pixels of an image and 128 bytes of channels (kernels/common/channels.cuh); a thread adds up a packet of channels
//              over the pixels of its line, then the lines of threads are added in a fixed order. N * C / 64 blocks in bf16, N * C / 32 in f32
//   backward   dx once: a thread keeps the packet that it stores and walks down the pixels of its slice. At most 396 blocks
//   256 threads a block; both are bound by memory where the images fill the card.
#include "kernels/common/channels.cuh"
#include "kernels/pooling/pooling.h"

namespace isda::kernels {

namespace {

template <int width, class T, class Pooled>
__global__ void __launch_bounds__(ChannelGrid::kThreads) global_average_kernel(ChannelGrid grid, const T* x, Pooled* y) {
  constexpr int batch = kRowBatch<T, width>;
  SIMT_SHARED(shared, ChannelSums<width>[ChannelGrid::kThreads]);
  const ChannelPlace place = channel_place<width>(grid);
  // Add up this thread's pixels.
  ChannelSums<width> sum{};
  if (place.is_used) {
    const std::int64_t step = row_step(grid);
    for_row_batches<batch>(grid, place, [&](std::int64_t offset, auto count) {
      Packed<T, width> rows[batch] = {};
      load_rows(x + offset, step, count, rows);
#pragma unroll
      for (int row = 0; row < batch; ++row) {
        // NOTE: the rows that are not there hold zeros.
        float values[width];
        unpack(rows[row], values);
#pragma unroll
        for (int c = 0; c < width; ++c) sum.of[c] += values[c];
      }
    });
  }
  // Add up the lines.
  sum = add_lines(sum, shared, grid, place);
  if (place.is_used && place.line == 0) {
    const float share = 1 / static_cast<float>(grid.rows);
    float means[width];
#pragma unroll
    for (int c = 0; c < width; ++c) means[c] = sum.of[c] * share;
    store_packed(y + place.image * grid.channels + place.channel, means);
  }
}

template <int width, class T, class Pooled>
__global__ void __launch_bounds__(ChannelGrid::kThreads) global_average_backward_kernel(ChannelGrid grid, const Pooled* dy, T* dx) {
  constexpr int batch = kRowBatch<T, width>;
  const ChannelPlace place = channel_place<width>(grid);
  if (!place.is_used) return;
  // What every pixel of the image gets.
  const float share = 1 / static_cast<float>(grid.rows);
  float values[width];
  load_packed(dy + place.image * grid.channels + place.channel, values);
#pragma unroll
  for (int c = 0; c < width; ++c) values[c] *= share;
  const Packed<T, width> packet = pack<T>(values);
  const std::int64_t step = row_step(grid);
  for_row_batches<batch>(grid, place, [&](std::int64_t offset, auto count) {
#pragma unroll
    for (int row = 0; row < batch; ++row) {
      if (row < count) store_whole(reinterpret_cast<Packed<T, width>*>(dx + offset + row * step), packet);
    }
  });
}

// body<T, Pooled>() with the types of the images and of what stands for each.
template <class Body>
void dispatch_types(const char* operation, DType wide, DType pooled, Body&& body) {
  dispatch_cuda(operation, wide, [&]<class T>() { pooled == wide ? body.template operator()<T, T>() : body.template operator()<T, float>(); });
}

}  // namespace

void run(Cuda, const Context& context, const GlobalAverage& op) {
  const auto [N, H, W, C] = op.x.extents<4>();
  dispatch_types(op.name, op.x.type(), op.y.type(), [&, N = N, pixels = H * W, C = C]<class T, class Pooled>() {
    dispatch_width<T>(C, are_aligned({op.x, op.y}), [&]<int width>() {
      const ChannelGridLimits limits{.most_columns = 128 / (width * sizeof(T)), .most_blocks = 1};
      const ChannelGrid grid = channel_grid(N, pixels, C, width, kRowBatch<T, width>, limits);
      launch(context, {.name = op.name, .grid = grid.extents(), .block = ChannelGrid::kThreads}, global_average_kernel<width, T, Pooled>, grid,
             elements<T>(op.x), elements<Pooled>(op.y));
    });
  });
}

void run(Cuda, const Context& context, const GlobalAverageBackward& op) {
  const auto [N, H, W, C] = op.dx.extents<4>();
  dispatch_types(op.name, op.dx.type(), op.dy.type(), [&, N = N, pixels = H * W, C = C]<class T, class Pooled>() {
    dispatch_width<T>(C, are_aligned({op.dy, op.dx}), [&]<int width>() {
      const ChannelGrid grid = channel_grid(N, pixels, C, width, kRowBatch<T, width>);
      launch(context, {.name = op.name, .grid = grid.extents(), .block = ChannelGrid::kThreads}, global_average_backward_kernel<width, T, Pooled>, grid,
             elements<Pooled>(op.dy), elements<T>(op.dx));
    });
  });
}

}  // namespace isda::kernels
