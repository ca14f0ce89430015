// SPDX-License-Identifier: Apache-2.0
// Mean of windows on the card, a thread a packet of channels of the pixel it writes (kernels/pooling/windows.cuh).
//
//   forward    x read kernel^2 / stride^2 times, mostly from the caches, y written once
//   backward   dy read as often, dx written once: an element adds up the windows that cover it, row by row
#include "kernels/pooling/pooling.h"
#include "kernels/pooling/windows.cuh"

namespace isda::kernels {

namespace {

// values += the packet at `from`
template <int width, class T>
__device__ __forceinline__ void add_packed(const T* from, float (&sum)[width] SIMT_CALLER) {
  float values[width];
  load_packed(from, values SIMT_AT_CALLER);
#pragma unroll
  for (int c = 0; c < width; ++c) sum[c] += values[c];
}

// to = sum * share
template <int width, class T>
__device__ __forceinline__ void store_scaled(T* to, float (&sum)[width], float share SIMT_CALLER) {
#pragma unroll
  for (int c = 0; c < width; ++c) sum[c] *= share;
  store_packed(to, sum SIMT_AT_CALLER);
}

template <int width, class T>
__global__ void __launch_bounds__(ChannelGrid::kThreads) average_pool2d_kernel(const __grid_constant__ Windows windows, float share, const T* x, T* y) {
  const Pixel pixel = pixel_of<width>(windows.grid, windows.P, windows.Q);
  if (!pixel.is_used) return;
  const auto [h_begin, h_end] = windows.window.places(pixel.row, windows.H);
  const auto [w_begin, w_end] = windows.window.places(pixel.column, windows.W);
  float sum[width] = {};
  for (int h = h_begin; h < h_end; ++h) {
    for (int w = w_begin; w < w_end; ++w) add_packed(x + element_at(windows, pixel, windows.H * windows.W, h * windows.W + w), sum);
  }
  store_scaled(y + element_at(windows, pixel, windows.P * windows.Q, pixel.row * windows.Q + pixel.column), sum, share);
}

template <int width, class T>
__global__ void __launch_bounds__(ChannelGrid::kThreads)
    average_pool2d_backward_kernel(const __grid_constant__ Windows windows, float share, const T* dy, T* dx) {
  const Pixel pixel = pixel_of<width>(windows.grid, windows.H, windows.W);
  if (!pixel.is_used) return;
  const auto [p_begin, p_end] = windows.window.covering(pixel.row, windows.P);
  const auto [q_begin, q_end] = windows.window.covering(pixel.column, windows.Q);
  float sum[width] = {};
  for (int p = p_begin; p < p_end; ++p) {
    for (int q = q_begin; q < q_end; ++q) add_packed(dy + element_at(windows, pixel, windows.P * windows.Q, p * windows.Q + q), sum);
  }
  store_scaled(dx + element_at(windows, pixel, windows.H * windows.W, pixel.row * windows.W + pixel.column), sum, share);
}

}  // namespace

void run(Cuda, const Context& context, const AveragePool2d& op) {
  const float share = 1 / static_cast<float>(op.kernel * op.kernel);
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    dispatch_width<T>(op.x.extent(3), are_aligned({op.x, op.y}), [&]<int width>() {
      const Windows windows = windows_of(op, op.x, op.y, op.y, width);
      launch(context, {.name = op.name, .grid = windows.grid.extents(), .block = ChannelGrid::kThreads}, average_pool2d_kernel<width, T>, windows, share,
             elements<T>(op.x), elements<T>(op.y));
    });
  });
}

void run(Cuda, const Context& context, const AveragePool2dBackward& op) {
  const float share = 1 / static_cast<float>(op.kernel * op.kernel);
  dispatch_cuda(op.name, op.dx.type(), [&]<class T>() {
    dispatch_width<T>(op.dx.extent(3), are_aligned({op.dy, op.dx}), [&]<int width>() {
      const Windows windows = windows_of(op, op.dx, op.dy, op.dx, width);
      launch(context, {.name = op.name, .grid = windows.grid.extents(), .block = ChannelGrid::kThreads}, average_pool2d_backward_kernel<width, T>, windows,
             share, elements<T>(op.dy), elements<T>(op.dx));
    });
  });
}

}  // namespace isda::kernels
