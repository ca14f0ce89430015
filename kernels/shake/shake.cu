// SPDX-License-Identifier: Apache-2.0
// Shaken branches on the card: blocks take (rows of an image, channels), so that the factors are an image's, and a thread draws them once
// (kernels/common/channels.cuh).
//
//   forward    shortcut, a, b and y once      backward    dy, da, db and, of a padded shortcut, dshortcut once
//   Packets as wide as divide the channels of the branches and of the shortcut. Bound by memory: some 60 instructions a thread for its draw, then two an
//   element.
#include <numeric>

#include "kernels/common/channels.cuh"
#include "kernels/shake/shake.h"

namespace isda::kernels {

namespace {

// What all threads of a launch share. step: null where nothing is drawn.
struct Shaken {
  ChannelGrid grid;
  ShakeRule rule;
  std::int64_t narrow;  // channels of the shortcut
  const std::int32_t* step;
};

template <ShakePass pass>
__device__ __forceinline__ ShakeFactors factors_of(const Shaken& shaken, bool has_two, std::int64_t image) {
  const auto now = shaken.step ? static_cast<std::uint32_t>(__ldg(shaken.step)) : 0u;
  return shake_factors(shaken.rule, has_two, pass, now, static_cast<std::uint64_t>(image));
}

// A thread's first element of an array of `narrow` channels, and what lies between its rows.
__device__ __forceinline__ std::int64_t first_of_narrow(const Shaken& shaken, const ChannelPlace& place) {
  return (place.image * shaken.grid.rows + place.begin + place.line) * shaken.narrow + place.channel;
}
__device__ __forceinline__ std::int64_t step_of_narrow(const Shaken& shaken) { return shaken.grid.lines * shaken.narrow; }

// b: null where there is one branch
template <int width, class T>
__global__ void __launch_bounds__(ChannelGrid::kThreads) shake_kernel(const __grid_constant__ Shaken shaken, const T* shortcut, const T* a, const T* b, T* y) {
  constexpr int batch = kRowBatch<T, width>;
  const ChannelGrid& grid = shaken.grid;
  const ChannelPlace place = channel_place<width>(grid);
  if (!place.is_used) return;
  // NOTE: clang lends no structured bindings to lambdas.
  const ShakeFactors factors = factors_of<ShakePass::forward>(shaken, b != nullptr, place.image);
  const float p = factors.a, q = factors.b;
  const std::int64_t step = row_step(grid), narrow_step = step_of_narrow(shaken);
  const bool has_shortcut = place.channel < shaken.narrow;
  const T* from = shortcut + first_of_narrow(shaken, place);
  for_row_batches<batch>(grid, place, [&](std::int64_t offset, auto count) {
    Packed<T, width> rows_shortcut[batch] = {}, rows_a[batch] = {}, rows_b[batch] = {};
    if (has_shortcut) load_rows(from, narrow_step, count, rows_shortcut);
    load_rows(a + offset, step, count, rows_a);
    if (b) load_rows(b + offset, step, count, rows_b);
#pragma unroll
    for (int row = 0; row < batch; ++row) {
      if (row < count) {
        float sum[width], of_a[width], of_b[width];
        unpack(rows_shortcut[row], sum);
        unpack(rows_a[row], of_a);
        unpack(rows_b[row], of_b);
#pragma unroll
        for (int c = 0; c < width; ++c) sum[c] += p * of_a[c] + q * of_b[c];
        store_packed(y + offset + row * step, sum);
      }
    }
    from += batch * narrow_step;
  });
}

// db, dshortcut: null where not wanted
template <int width, class T>
__global__ void __launch_bounds__(ChannelGrid::kThreads) shake_backward_kernel(const __grid_constant__ Shaken shaken, const T* dy, T* da, T* db, T* dshortcut) {
  constexpr int batch = kRowBatch<T, width>;
  const ChannelGrid& grid = shaken.grid;
  const ChannelPlace place = channel_place<width>(grid);
  if (!place.is_used) return;
  // NOTE: clang lends no structured bindings to lambdas.
  const ShakeFactors factors = factors_of<ShakePass::backward>(shaken, db != nullptr, place.image);
  const float p = factors.a, q = factors.b;
  const std::int64_t step = row_step(grid), narrow_step = step_of_narrow(shaken);
  const bool has_shortcut = dshortcut && place.channel < shaken.narrow;
  T* to = has_shortcut ? dshortcut + first_of_narrow(shaken, place) : nullptr;
  for_row_batches<batch>(grid, place, [&](std::int64_t offset, auto count) {
    Packed<T, width> rows[batch] = {};
    load_rows(dy + offset, step, count, rows);
#pragma unroll
    for (int row = 0; row < batch; ++row) {
      if (row < count) {
        float gradient[width], of_a[width], of_b[width];
        unpack(rows[row], gradient);
#pragma unroll
        for (int c = 0; c < width; ++c) {
          of_a[c] = p * gradient[c];
          of_b[c] = q * gradient[c];
        }
        store_packed(da + offset + row * step, of_a);
        if (db) store_packed(db + offset + row * step, of_b);
        if (has_shortcut) store_packed(to + row * narrow_step, gradient);
      }
    }
    if (has_shortcut) to += batch * narrow_step;
  });
}

// Calls body<T, width>(shaken) for arrays like `wide`, beside a shortcut of `narrow` channels.
template <class Operation, class Body>
void share_out(const Operation& op, bool has_two, const ConstView& wide, std::int64_t narrow, bool is_aligned, Body&& body) {
  const auto [N, H, W, C] = wide.extents<4>();
  dispatch_cuda(op.name, wide.type(), [&, N = N, pixels = H * W, C = C]<class T>() {
    dispatch_width<T>(std::gcd(C, narrow), is_aligned, [&]<int width>() {
      const Shaken shaken{.grid = channel_grid(N, pixels, C, width, kRowBatch<T, width>),
                          .rule = op.rule,
                          .narrow = narrow,
                          .step = is_drawn(op.rule, has_two) ? op.step.template as<std::int32_t>() : nullptr};
      body.template operator()<T, width>(shaken);
    });
  });
}

}  // namespace

void run(Cuda, const Context& context, const Shake& op) {
  share_out(op, static_cast<bool>(op.b), op.a, op.shortcut.extent(3), are_aligned({op.shortcut, op.a, op.b, op.y}),
            [&]<class T, int width>(const Shaken& shaken) {
              launch(context, {.name = op.name, .grid = shaken.grid.extents(), .block = ChannelGrid::kThreads}, shake_kernel<width, T>, shaken,
                     elements<T>(op.shortcut), elements<T>(op.a), elements<T>(op.b), elements<T>(op.y));
            });
}

void run(Cuda, const Context& context, const ShakeBackward& op) {
  const std::int64_t narrow = op.dshortcut ? op.dshortcut.extent(3) : op.dy.extent(3);
  share_out(op, static_cast<bool>(op.db), op.dy, narrow, are_aligned({op.dy, op.da, op.db, op.dshortcut}), [&]<class T, int width>(const Shaken& shaken) {
    launch(context, {.name = op.name, .grid = shaken.grid.extents(), .block = ChannelGrid::kThreads}, shake_backward_kernel<width, T>, shaken,
           elements<T>(op.dy), elements<T>(op.da), elements<T>(op.db), elements<T>(op.dshortcut));
  });
}

}  // namespace isda::kernels
