// SPDX-License-Identifier: Apache-2.0
// How the kernels of window pooling share out the array they write: a thread takes one pixel and a packet of channels of it, and reads what it depends on.
//
//   forward    a pixel of y reads the places of its window of x
//   backward   a pixel of dx reads the windows of dy that cover it: no two threads write one element, so nothing is added atomically
//   Neighbouring threads take neighbouring packets, then neighbouring pixels (kernels/common/channels.cuh); what overlapping windows read several
//   times comes from the caches, so that the card's memory is read about once. 256 threads a block, no shared memory.
#pragma once
#include <limits>

#include "kernels/common/channels.cuh"
#include "kernels/pooling/window.h"

namespace isda::kernels {

struct Windows {
  int H, W, P, Q;  // pixels of the wide image, and of the pooled one
  std::int64_t channels;
  WindowOf<int> window;
  ChannelGrid grid;  // of the pixels that are written
};

// Where a thread stands.
struct Pixel {
  bool is_used;  // false for those that are left over
  int image, row, column, channel;
};

// The pixel that a thread writes in images of `rows` times `columns` pixels.
template <int width>
__device__ __forceinline__ Pixel pixel_of(const ChannelGrid& grid, int rows, int columns) {
  const ChannelPlace place = channel_place<width>(grid);
  const std::int64_t pixel = place.begin + place.line;
  const int at = static_cast<int>(pixel), line = at / columns;
  return {.is_used = place.is_used && pixel < place.end, .image = line / rows, .row = line % rows, .column = at - line * columns, .channel = place.channel};
}

// The thread's channel in pixel `at` of its image, which has `pixels` of them.
__device__ __forceinline__ std::int64_t element_at(const Windows& windows, const Pixel& pixel, int pixels, int at) {
  return static_cast<std::int64_t>(pixel.image * pixels + at) * windows.channels + pixel.channel;
}

// wide (N,H,W,C), pooled (N,P,Q,C); `written` is one of the two.
template <class Operation>
Windows windows_of(const Operation& op, const ConstView& wide, const ConstView& pooled, const ConstView& written, int width) {
  const std::int64_t C = wide.extent(3);
  // NOTE: a thread finds its pixel by divisions of 32 bits.
  constexpr std::int64_t most = std::numeric_limits<int>::max();
  for (const ConstView& view : {wide, pooled})
    require(view.size() / C <= most, "[{}] the cuda device counts up to {} pixels, got {}", op.name, most, view.shape());
  const auto extent = [](const ConstView& view, int axis) { return static_cast<int>(view.extent(axis)); };
  return {.H = extent(wide, 1),
          .W = extent(wide, 2),
          .P = extent(pooled, 1),
          .Q = extent(pooled, 2),
          .channels = C,
          .window = {static_cast<int>(op.kernel), static_cast<int>(op.stride), static_cast<int>(op.padding)},
          .grid = channel_grid(1, written.size() / C, C, width, 1, {.most_blocks = most})};
}

}  // namespace isda::kernels
