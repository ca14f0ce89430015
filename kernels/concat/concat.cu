// SPDX-License-Identifier: Apache-2.0
// Channels side by side on the card, and apart again.
//
//   A thread keeps its packet of channels, which lies in a or in b, and walks down the rows of y (kernels/common/channels.cuh), 64 bytes on their way at a
//   time; y is touched as one array, a and b in pieces of a row each. Packets are of 16 bytes where A and B are multiples of them; with 12 channels a layer
//   in bf16, of 8.
//   256 threads a block, at most 396 blocks; a, b and y once: bound by memory
#include <numeric>

#include "kernels/common/channels.cuh"
#include "kernels/concat/concat.h"

namespace isda::kernels {

namespace {

// Where a thread's channels lie in a or b: the first of its rows, and the elements from a row to its next.
template <class T>
struct Piece {
  T* first;
  std::int64_t step;
};

template <class T>
__device__ __forceinline__ Piece<T> piece_of(const ChannelGrid& grid, const ChannelPlace& place, int channels_of_a, T* a, T* b) {
  const bool is_of_a = place.channel < channels_of_a;
  const std::int64_t channels = is_of_a ? channels_of_a : grid.channels - channels_of_a;
  const int channel = is_of_a ? place.channel : place.channel - channels_of_a;
  return {(is_of_a ? a : b) + (place.begin + place.line) * channels + channel, grid.lines * channels};
}

template <int width, class T>
__global__ void __launch_bounds__(ChannelGrid::kThreads) concat_kernel(ChannelGrid grid, int channels_of_a, const T* a, const T* b, T* y) {
  constexpr int batch = kRowBatch<T, width>;
  const ChannelPlace place = channel_place<width>(grid);
  if (!place.is_used) return;
  Piece<const T> from = piece_of(grid, place, channels_of_a, a, b);
  const std::int64_t step = row_step(grid);
  for_row_batches<batch>(grid, place, [&](std::int64_t offset, auto count) {
    Packed<T, width> rows[batch] = {};
    load_rows(from.first, from.step, count, rows);
#pragma unroll
    for (int row = 0; row < batch; ++row) {
      if (row < count) store_whole(reinterpret_cast<Packed<T, width>*>(y + offset + row * step), rows[row]);
    }
    from.first += batch * from.step;
  });
}

template <int width, class T>
__global__ void __launch_bounds__(ChannelGrid::kThreads) concat_backward_kernel(ChannelGrid grid, int channels_of_a, const T* dy, T* da, T* db) {
  constexpr int batch = kRowBatch<T, width>;
  const ChannelPlace place = channel_place<width>(grid);
  if (!place.is_used) return;
  Piece<T> to = piece_of(grid, place, channels_of_a, da, db);
  const std::int64_t step = row_step(grid);
  for_row_batches<batch>(grid, place, [&](std::int64_t offset, auto count) {
    Packed<T, width> rows[batch] = {};
    load_rows(dy + offset, step, count, rows);
#pragma unroll
    for (int row = 0; row < batch; ++row) {
      if (row < count) store_whole(reinterpret_cast<Packed<T, width>*>(to.first + row * to.step), rows[row]);
    }
    to.first += batch * to.step;
  });
}

// Calls body<T, width>(grid): the widest packets that both a and b come in.
template <class Body>
void dispatch_parts(const char* name, const ConstView& whole, const ConstView& a, const ConstView& b, Body&& body) {
  const std::int64_t A = a.extent(-1), B = b.extent(-1);
  dispatch_cuda(name, whole.type(), [&]<class T>() {
    dispatch_width<T>(std::gcd(A, B), are_aligned({whole, a, b}),
                      [&]<int width>() { body.template operator()<T, width>(channel_grid(1, whole.size() / (A + B), A + B, width, kRowBatch<T, width>)); });
  });
}

}  // namespace

void run(Cuda, const Context& context, const Concat& op) {
  dispatch_parts(op.name, op.y, op.a, op.b, [&]<class T, int width>(const ChannelGrid& grid) {
    launch(context, {.name = op.name, .grid = grid.extents(), .block = ChannelGrid::kThreads}, concat_kernel<width, T>, grid, static_cast<int>(op.a.extent(-1)),
           elements<T>(op.a), elements<T>(op.b), elements<T>(op.y));
  });
}

void run(Cuda, const Context& context, const ConcatBackward& op) {
  dispatch_parts(op.name, op.dy, op.da, op.db, [&]<class T, int width>(const ChannelGrid& grid) {
    launch(context, {.name = op.name, .grid = grid.extents(), .block = ChannelGrid::kThreads}, concat_backward_kernel<width, T>, grid,
           static_cast<int>(op.da.extent(-1)), elements<T>(op.dy), elements<T>(op.da), elements<T>(op.db));
  });
}

}  // namespace isda::kernels
