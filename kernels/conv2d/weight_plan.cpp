// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/conv2d/weight_gradient.h"
#include "kernels/conv2d/winograd.h"

namespace isda::kernels::conv2d {

namespace {

// Chunks are units to share among threads, but their sums are written and read once more: 8 to 16 while 2 MB hold them, never
// more than 32 MB.
constexpr std::int64_t kLeastChunks = 8, kMostChunks = 16;
constexpr std::int64_t kNearFloats = std::int64_t{1} << 19, kMostFloats = std::int64_t{1} << 23;
constexpr std::int64_t kBlockPixels = 256;  // direct: 20 KB of the window under one row stay in L1
constexpr std::int64_t kWindowFloats = 32 * 1024;
constexpr std::int64_t kBlockTiles = 64;          // Winograd
constexpr std::int64_t kPointFloats = 64 * 1024;  // 256 KB for the points of x and dy

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

}  // namespace

WeightPlan::WeightPlan(const Conv2dBackwardWeights& op)
    : lanes(microkernels().lanes),
      images(op.x.extent(0)),
      groups(op.groups),
      stride(op.stride),
      padding(op.padding),
      R(op.dweight.extent(1)),
      S(op.dweight.extent(2)),
      channels(op.dweight.extent(3)),
      outputs(op.dweight.extent(0) / groups),
      P(op.dy.extent(1)),
      Q(op.dy.extent(2)) {
  is_winograd =
      outputs % lanes == 0 &&
      winograd_suits(
          {.taps_rows = R, .taps_columns = S, .stride = stride, .out_rows = P, .out_columns = Q, .source_channels = channels, .out_channels = outputs});
  rows = is_winograd ? kWinogradPoints : R;
  run = is_winograd ? channels : S * channels;
  run_vectors = ceil_div(run, lanes);
  run_tiles = ceil_div(run_vectors, 3);
  quads = ceil_div(outputs, 4);
  partial_floats = groups * rows * run_vectors * lanes * quads * 4;
  chunks = std::clamp(kNearFloats / partial_floats, kLeastChunks, kMostChunks);
  chunks = std::max<std::int64_t>(1, std::min({chunks, images, kMostFloats / partial_floats}));
  // Slices of outputs where there are too few images. NOTE: the Winograd way needs whole vectors of them.
  slice_quads = quads;
  const auto can_halve = [&] { return is_winograd ? slice_quads % (2 * lanes / 4) == 0 : slice_quads > 4; };
  while (units_with(slice_quads) < kLeastChunks && can_halve()) slice_quads = ceil_div(slice_quads, 2);
  slices = ceil_div(quads, slice_quads);
  cut_into_blocks();
}

void WeightPlan::cut_into_blocks() {
  block_rows = P, block_columns = Q;
  const std::int64_t least = is_winograd ? 2 : 1;
  const auto is_large = [&] {
    if (is_winograd) return block_tiles() > kBlockTiles || kWinogradPoints * block_tiles() * (channels + slice_channels()) > kPointFloats;
    return block_rows * block_columns > kBlockPixels || block_images * x_floats() > kWindowFloats;
  };
  const auto half = [&](std::int64_t extent) { return round_up(ceil_div(extent, 2), least); };
  while (is_large() && (block_rows > least || block_columns > 8)) {
    if (block_rows > least)
      block_rows = half(block_rows);
    else
      block_columns = half(block_columns);
  }
  if (block_rows < P || block_columns < Q) return;
  // Small images: as many of a chunk as there is room for.
  while (block_images < ceil_div(images, chunks) && (block_images + 1) * P * Q <= kBlockPixels && !is_large()) ++block_images;
  while (block_images > 1 && is_large()) --block_images;
}

RunTile WeightPlan::run_tile(std::int64_t index) const {
  const std::int64_t least = run_vectors / run_tiles, rest = run_vectors % run_tiles;
  return {index * least + std::min(index, rest), static_cast<int>(least + (index < rest ? 1 : 0))};
}

std::int64_t WeightPlan::sums_of(std::int64_t group, std::int64_t row, const RunTile& tile) const {
  return ((group * rows + row) * run_vectors + tile.first) * lanes * quads * 4;
}

std::int64_t WeightPlan::x_pitch() const {
  const std::int64_t columns = is_winograd ? 2 * tile_columns() + 2 : (block_columns - 1) * stride + S;
  return round_up(columns * channels, 16);
}

std::int64_t WeightPlan::x_floats() const { return (is_winograd ? 2 * tile_rows() + 2 : (block_rows - 1) * stride + R) * x_pitch(); }

std::int64_t WeightPlan::dy_pitch() const { return 2 * tile_columns() * slice_channels(); }

std::int64_t WeightPlan::dy_floats() const { return is_winograd ? 2 * tile_rows() * dy_pitch() : block_rows * block_columns * slice_channels(); }

std::int64_t WeightPlan::memory_floats() const {
  const std::int64_t points = is_winograd ? kWinogradPoints * (x_point_step() + dy_point_step()) : 0;
  return round_up(block_images * (x_floats() + dy_floats()) + kGap + points, 16);
}

}  // namespace isda::kernels::conv2d
