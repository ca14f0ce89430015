// SPDX-License-Identifier: Apache-2.0
// Two flows on the card, a thread a packet of channels of the pixel it writes (kernels/pooling/windows.cuh).
//
//   forward    y seen as images of twice as many columns of C channels, flow 0 and flow 1 of a pixel side by side: each written once, x read once
//   backward   dx written once: a thread looks up which flows took its pixel, so nothing is added atomically; dy read once
#include <limits>

#include "kernels/pooling/windows.cuh"
#include "kernels/two_flows/two_flows.h"

namespace isda::kernels {

namespace {

struct Flows {
  int H, W, P, Q, stride;
  std::int64_t channels;
  ChannelGrid grid;  // of the pixels that are written
};

// The thread's first channel of pixel (row, column) in images of `rows` times `columns` pixels.
__device__ __forceinline__ std::int64_t element_at(const Flows& flows, const Pixel& pixel, int rows, int columns, int row, int column) {
  return ((pixel.image * std::int64_t{rows} + row) * columns + column) * flows.channels + pixel.channel;
}

template <int width, class T>
__global__ void __launch_bounds__(ChannelGrid::kThreads) two_flows_kernel(const __grid_constant__ Flows flows, const T* x, T* y) {
  const Pixel pixel = pixel_of<width>(flows.grid, flows.P, 2 * flows.Q);
  if (!pixel.is_used) return;
  const int flow = pixel.column % 2, h = pixel.row * flows.stride - flow, w = pixel.column / 2 * flows.stride - flow;
  float values[width] = {};
  if (h >= 0 && w >= 0) load_packed(x + element_at(flows, pixel, flows.H, flows.W, h, w), values);
  store_packed(y + element_at(flows, pixel, flows.P, 2 * flows.Q, pixel.row, pixel.column), values);
}

template <int width, class T>
__global__ void __launch_bounds__(ChannelGrid::kThreads) two_flows_backward_kernel(const __grid_constant__ Flows flows, const T* dy, T* dx) {
  const Pixel pixel = pixel_of<width>(flows.grid, flows.H, flows.W);
  if (!pixel.is_used) return;
  float sum[width] = {};
#pragma unroll
  for (int flow = 0; flow < 2; ++flow) {
    const int down = pixel.row + flow, right = pixel.column + flow, p = down / flows.stride, q = right / flows.stride;
    if (down % flows.stride != 0 || right % flows.stride != 0 || p >= flows.P || q >= flows.Q) continue;
    float values[width];
    load_packed(dy + element_at(flows, pixel, flows.P, 2 * flows.Q, p, 2 * q + flow), values);
#pragma unroll
    for (int c = 0; c < width; ++c) sum[c] += values[c];
  }
  store_packed(dx + element_at(flows, pixel, flows.H, flows.W, pixel.row, pixel.column), sum);
}

// wide (N,H,W,C), pair (N,P,Q,2C); `written` is one of the two.
Flows flows_of(const char* name, const ConstView& wide, const ConstView& pair, const ConstView& written, std::int64_t stride, int width) {
  const std::int64_t C = wide.extent(3);
  // NOTE: a thread finds its pixel by divisions of 32 bits.
  constexpr std::int64_t most = std::numeric_limits<int>::max();
  for (const ConstView& view : {wide, pair})
    require(view.size() / C <= most, "[{}] the cuda device counts up to {} pixels of {} channels, got {}", name, most, C, view.shape());
  const auto extent = [](const ConstView& view, int axis) { return static_cast<int>(view.extent(axis)); };
  return {.H = extent(wide, 1),
          .W = extent(wide, 2),
          .P = extent(pair, 1),
          .Q = extent(pair, 2),
          .stride = static_cast<int>(stride),
          .channels = C,
          .grid = channel_grid(1, written.size() / C, C, width, 1, {.most_blocks = most})};
}

}  // namespace

void run(Cuda, const Context& context, const TwoFlows& op) {
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    dispatch_width<T>(op.x.extent(3), are_aligned({op.x, op.y}), [&]<int width>() {
      const Flows flows = flows_of(op.name, op.x, op.y, op.y, op.stride, width);
      launch(context, {.name = op.name, .grid = flows.grid.extents(), .block = ChannelGrid::kThreads}, two_flows_kernel<width, T>, flows, elements<T>(op.x),
             elements<T>(op.y));
    });
  });
}

void run(Cuda, const Context& context, const TwoFlowsBackward& op) {
  dispatch_cuda(op.name, op.dx.type(), [&]<class T>() {
    dispatch_width<T>(op.dx.extent(3), are_aligned({op.dy, op.dx}), [&]<int width>() {
      const Flows flows = flows_of(op.name, op.dx, op.dy, op.dx, op.stride, width);
      launch(context, {.name = op.name, .grid = flows.grid.extents(), .block = ChannelGrid::kThreads}, two_flows_backward_kernel<width, T>, flows,
             elements<T>(op.dy), elements<T>(op.dx));
    });
  });
}

}  // namespace isda::kernels
