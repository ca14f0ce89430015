// SPDX-License-Identifier: Apache-2.0
// Three kernels of a thread an element: the weights of each line of outputs, then along the rows, then down the columns.
//
//   A weight's place is its tap's: those of neighbouring outputs lie side by side, so that a warp reads them and the bytes they multiply together.
//   Between them lies a byte for each row of x, column of y and channel, in scratch memory; rows that no output looks at are not made.
//   256 threads a block; integers throughout, but for the weights, which take a few divisions in double for each output: bound by arithmetic.
#include "kernels/resized_crop/resized_crop.h"

#include <limits>

#include "kernels/common/simt.cuh"

namespace isda::kernels {

namespace {

constexpr int kThreads = 256;

// Of the lines of all images: taps (N, outputs), weights (N, most, outputs).
struct Lines {
  Taps* taps;
  std::int32_t* weights;
  int extent, outputs, most;
  int begin, end;  // which of a box's four numbers
};

__device__ std::int32_t weighted(const std::int32_t* weights, int outputs, int count, const std::uint8_t* bytes, std::int64_t stride) {
  std::int32_t sum = 0;
  for (int k = 0; k < count; ++k) sum += weights[static_cast<std::int64_t>(k) * outputs] * bytes[k * stride];
  return sum;
}

__global__ void __launch_bounds__(kThreads) taps_kernel(std::int64_t images, Lines lines, const float* boxes) {
  const std::int64_t i = blockIdx.x * std::int64_t{kThreads} + threadIdx.x;
  if (i >= images * lines.outputs) return;
  const std::int64_t n = i / lines.outputs;
  const int j = static_cast<int>(i % lines.outputs);
  std::int32_t* weights = lines.weights + n * lines.most * lines.outputs + j;
  lines.taps[i] = make_taps(lines.extent, boxes[4 * n + lines.begin], boxes[4 * n + lines.end], lines.outputs, j, lines.most,
                            [&](int k, std::int32_t weight) { weights[static_cast<std::int64_t>(k) * lines.outputs] = weight; });
}

// x (N,H,W,C) -> t (N,H,w,C)
__global__ void __launch_bounds__(kThreads) along_rows_kernel(std::int64_t count, Lines rows, Lines columns, int C, const std::uint8_t* x, std::uint8_t* t) {
  const std::int64_t i = blockIdx.x * std::int64_t{kThreads} + threadIdx.x;
  if (i >= count) return;
  const int c = static_cast<int>(i % C), j = static_cast<int>(i / C % rows.outputs);
  const std::int64_t row = i / C / rows.outputs, n = row / columns.extent;
  const int v = static_cast<int>(row % columns.extent);
  const Taps first = columns.taps[n * columns.outputs], last = columns.taps[(n + 1) * columns.outputs - 1];
  if (v < first.first || v >= last.first + last.count) return;
  const Taps taps = rows.taps[n * rows.outputs + j];
  const std::int32_t* weights = rows.weights + n * rows.most * rows.outputs + j;
  t[i] = rounded_byte(weighted(weights, rows.outputs, taps.count, x + (row * rows.extent + taps.first) * C + c, C));
}

// t (N,H,w,C) -> y (N,h,w,C)
__global__ void __launch_bounds__(kThreads)
    down_columns_kernel(std::int64_t count, Lines rows, Lines columns, int C, const std::int32_t* flips, const std::uint8_t* t, std::uint8_t* y) {
  const std::int64_t e = blockIdx.x * std::int64_t{kThreads} + threadIdx.x;
  if (e >= count) return;
  const int w = rows.outputs, c = static_cast<int>(e % C), j = static_cast<int>(e / C % w), i = static_cast<int>(e / C / w % columns.outputs);
  const std::int64_t n = e / C / w / columns.outputs;
  const Taps taps = columns.taps[n * columns.outputs + i];
  const std::int32_t* weights = columns.weights + n * columns.most * columns.outputs + i;
  const int column = flips[n] != 0 ? w - 1 - j : j;
  const std::uint8_t* bytes = t + ((n * columns.extent + taps.first) * w + column) * C + c;
  y[e] = rounded_byte(weighted(weights, columns.outputs, taps.count, bytes, static_cast<std::int64_t>(w) * C));
}

}  // namespace

void run(Cuda, const Context& context, const ResizedCrop& op) {
  const auto [N, H, W, C] = op.x.extents<4>();
  const std::int64_t h = op.y.extent(1), w = op.y.extent(2), between = N * H * w * C;
  require(between < std::numeric_limits<std::int32_t>::max() * std::int64_t{kThreads} &&
              op.y.size() < std::numeric_limits<std::int32_t>::max() * std::int64_t{kThreads},
          "[{}] y {} from x {} takes more threads than the cuda device counts", op.name, op.y.shape(), op.x.shape());
  Scratch scratch = context.scratch();
  const auto lines = [&, N = N](std::int64_t extent, std::int64_t outputs, int begin) {
    const int most = most_taps(extent, outputs);
    return Lines{scratch.take<Taps>(N * outputs),
                 scratch.take<std::int32_t>(N * outputs * most),
                 static_cast<int>(extent),
                 static_cast<int>(outputs),
                 most,
                 begin,
                 begin + 2};
  };
  const Lines rows = lines(W, w, 0), columns = lines(H, h, 1);
  auto* t = scratch.take<std::uint8_t>(between);
  const float* boxes = op.boxes.as<float>();
  const int channels = static_cast<int>(C);
  for (const Lines& line : {rows, columns}) {
    const LaunchShape shape{op.name, blocks_for(N * line.outputs, kThreads), kThreads};
    launch(context, shape, taps_kernel, N, line, boxes);
  }
  const LaunchShape along{op.name, blocks_for(between, kThreads), kThreads}, down{op.name, blocks_for(op.y.size(), kThreads), kThreads};
  launch(context, along, along_rows_kernel, between, rows, columns, channels, op.x.as<std::uint8_t>(), t);
  launch(context, down, down_columns_kernel, op.y.size(), rows, columns, channels, op.flips.as<std::int32_t>(), t, op.y.as<std::uint8_t>());
}

}  // namespace isda::kernels
