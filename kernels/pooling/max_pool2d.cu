// SPDX-License-Identifier: Apache-2.0
// Maximum of windows on the card, a thread a packet of channels of the pixel it writes (kernels/pooling/windows.cuh).
//
//   forward    x read kernel^2 / stride^2 times, mostly from the caches, y and indices written once
//   backward   dy and indices read as often, dx written once: an element adds up the windows that it won, row by row
#include "kernels/pooling/pooling.h"
#include "kernels/pooling/windows.cuh"

namespace isda::kernels {

namespace {

// Indices come in packets of at most 16 bytes.
template <int width>
inline constexpr int kIndexPacket = width < 4 ? width : 4;

template <int width>
__device__ __forceinline__ void load_indices(const std::int32_t* from, std::int32_t (&indices)[width] SIMT_CALLER) {
  constexpr int step = kIndexPacket<width>;
#pragma unroll
  for (int first = 0; first < width; first += step) {
    const auto packet = load_whole(reinterpret_cast<const Packed<std::int32_t, step>*>(from + first) SIMT_AT_CALLER);
#pragma unroll
    for (int i = 0; i < step; ++i) indices[first + i] = static_cast<std::int32_t>(packet.words[i]);
  }
}
template <int width>
__device__ __forceinline__ void store_indices(std::int32_t* to, const std::int32_t (&indices)[width] SIMT_CALLER) {
  constexpr int step = kIndexPacket<width>;
#pragma unroll
  for (int first = 0; first < width; first += step) {
    Packed<std::int32_t, step> packet;
#pragma unroll
    for (int i = 0; i < step; ++i) packet.words[i] = static_cast<std::uint32_t>(indices[first + i]);
    store_whole(reinterpret_cast<Packed<std::int32_t, step>*>(to + first), packet SIMT_AT_CALLER);
  }
}

template <bool has_indices, int width, class T>
__global__ void __launch_bounds__(ChannelGrid::kThreads) max_pool2d_kernel(const __grid_constant__ Windows windows, const T* x, T* y, std::int32_t* indices) {
  const Pixel pixel = pixel_of<width>(windows.grid, windows.P, windows.Q);
  if (!pixel.is_used) return;
  const int W = windows.W, pixels = windows.H * W;
  const auto [h_begin, h_end] = windows.window.places(pixel.row, windows.H);
  const auto [w_begin, w_end] = windows.window.places(pixel.column, W);
  // The first place wins, until a larger one comes, or a NaN.
  float best[width];
  [[maybe_unused]] std::int32_t winner[width];
  load_packed(x + element_at(windows, pixel, pixels, h_begin * W + w_begin), best);
#pragma unroll
  for (int c = 0; c < width; ++c) winner[c] = h_begin * W + w_begin;
  for (int h = h_begin; h < h_end; ++h) {
    for (int w = w_begin; w < w_end; ++w) {
      const int at = h * W + w;
      float values[width];
      load_packed(x + element_at(windows, pixel, pixels, at), values);
#pragma unroll
      for (int c = 0; c < width; ++c) {
        const bool is_winner = values[c] > best[c] || values[c] != values[c];
        best[c] = is_winner ? values[c] : best[c];
        if constexpr (has_indices) winner[c] = is_winner ? at : winner[c];
      }
    }
  }
  const std::int64_t to = element_at(windows, pixel, windows.P * windows.Q, pixel.row * windows.Q + pixel.column);
  store_packed(y + to, best);
  if constexpr (has_indices) store_indices(indices + to, winner);
}

// NOTE: four blocks: to fit more of them on a multiprocessor the compiler would spill registers.
template <int width, class T>
__global__ void __launch_bounds__(ChannelGrid::kThreads, 4)
    max_pool2d_backward_kernel(const __grid_constant__ Windows windows, const T* dy, const std::int32_t* indices, T* dx) {
  const Pixel pixel = pixel_of<width>(windows.grid, windows.H, windows.W);
  if (!pixel.is_used) return;
  const int at = pixel.row * windows.W + pixel.column, pixels = windows.P * windows.Q;
  const auto [p_begin, p_end] = windows.window.covering(pixel.row, windows.P);
  const auto [q_begin, q_end] = windows.window.covering(pixel.column, windows.Q);
  float sum[width] = {};
  for (int p = p_begin; p < p_end; ++p) {
    for (int q = q_begin; q < q_end; ++q) {
      const std::int64_t from = element_at(windows, pixel, pixels, p * windows.Q + q);
      float gradient[width];
      std::int32_t winner[width];
      load_packed(dy + from, gradient);
      load_indices(indices + from, winner);
#pragma unroll
      for (int c = 0; c < width; ++c) sum[c] += winner[c] == at ? gradient[c] : 0.0f;
    }
  }
  store_packed(dx + element_at(windows, pixel, windows.H * windows.W, at), sum);
}

}  // namespace

void run(Cuda, const Context& context, const MaxPool2d& op) {
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    dispatch_width<T>(op.x.extent(3), are_aligned({op.x, op.y, op.indices}), [&]<int width>() {
      const Windows windows = windows_of(op, op.x, op.y, op.y, width);
      launch(context, {.name = op.name, .grid = windows.grid.extents(), .block = ChannelGrid::kThreads},
             op.indices ? max_pool2d_kernel<true, width, T> : max_pool2d_kernel<false, width, T>, windows, elements<T>(op.x), elements<T>(op.y),
             op.indices.as<std::int32_t>());
    });
  });
}

void run(Cuda, const Context& context, const MaxPool2dBackward& op) {
  dispatch_cuda(op.name, op.dx.type(), [&]<class T>() {
    dispatch_width<T>(op.dx.extent(3), are_aligned({op.dy, op.indices, op.dx}), [&]<int width>() {
      const Windows windows = windows_of(op, op.dx, op.dy, op.dx, width);
      launch(context, {.name = op.name, .grid = windows.grid.extents(), .block = ChannelGrid::kThreads}, max_pool2d_backward_kernel<width, T>, windows,
             elements<T>(op.dy), op.indices.as<std::int32_t>(), elements<T>(op.dx));
    });
  });
}

}  // namespace isda::kernels
