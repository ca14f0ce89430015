// SPDX-License-Identifier: Apache-2.0
// The Winograd way to compute a unit of a correlation, 24 tiles of 2x2 pixels at a time:
//   1. B' d B of each tile, all channels:            [16 points][tile][channel]
//   2. for each panel of outputs and each point a product over the channels:   [16 points][tile][lane]
//   3. A' m A of each tile, to the pixels of a tile of the epilogue.
// The points lie 16 floats further apart than they are long: at distances of 4 KB they would fight for the same lines of L1.
#include "kernels/conv2d/winograd.h"

#include <algorithm>

#include "kernels/conv2d/unit.h"

namespace isda::kernels::conv2d {

namespace {

constexpr int kTiles = 24;  // four register tiles of 6
constexpr int kPixels = 4 * kTiles;
constexpr std::int64_t kGap = 16;
constexpr std::int64_t kMostProducts = 128 * 128;  // channels x outputs whose transformed weights, 1 MB, are still near

// Up to 24 tiles of a block.
struct Tiles {
  int count = 0, pixels = 0;
  std::int64_t rows_needed = 0;    // of the window
  std::ptrdiff_t sources[kTiles];  // of the first input in the window
  int ends[kTiles];                // of the first tile of each row: behind its last
  int slots[kTiles][4];            // the place of each corner among the pixels; kPixels for one outside the block
  std::ptrdiff_t outs[kPixels];    // the place of each pixel in an image of the output
};

// Takes the next tiles of a block in the order of rows.
class Tiling {
 public:
  explicit Tiling(const Unit& unit) : unit_(unit), rows_(unit.block().rows.extent()), columns_(unit.block().columns.extent()) {}

  bool is_done() const { return row_ >= rows_; }

  void take(Tiles& tiles) {
    tiles.count = tiles.pixels = 0;
    while (tiles.count < kTiles && !is_done()) {
      // Tiles of one row, their upper pixels first, so that the output is written in order.
      const int begin = tiles.count, end = static_cast<int>(std::min<std::int64_t>(kTiles, begin + (columns_ - column_ + 1) / 2));
      const std::int64_t channels = unit_.job().source.group_channels();
      for (int tile = begin; tile < end; ++tile) tiles.sources[tile] = row_ * unit_.pitch() + (column_ + 2 * (tile - begin)) * channels;
      tiles.count = tiles.ends[begin] = end;
      const std::int64_t last_column = std::min(column_ + 2 * (end - begin), columns_);
      add_pixels(tiles, begin, 0, last_column - column_);
      add_pixels(tiles, begin, 2, row_ + 1 < rows_ ? last_column - column_ : 0);
      tiles.rows_needed = row_ + 4;
      column_ = last_column;
      if (column_ == columns_) column_ = 0, row_ += 2;
    }
  }

 private:
  // The `count` upper (corner 0) or lower (corner 2) pixels of the tiles from `begin`; their other corners are outside the block.
  void add_pixels(Tiles& tiles, int begin, int corner, std::int64_t count) const {
    const Correlation& job = unit_.job();
    const auto& block = unit_.block();
    std::ptrdiff_t out = ((block.rows.begin + row_ + corner / 2) * job.out_columns + block.columns.begin + column_) * job.out_channels;
    const int first = tiles.pixels;
    for (; tiles.pixels < first + count; ++tiles.pixels, out += job.out_channels) tiles.outs[tiles.pixels] = out;
    for (int tile = begin; tile < tiles.count; ++tile) {
      const int left = 2 * (tile - begin);
      tiles.slots[tile][corner] = left < count ? first + left : kPixels;
      tiles.slots[tile][corner + 1] = left + 1 < count ? first + left + 1 : kPixels;
    }
  }

  const Unit& unit_;
  const std::int64_t rows_, columns_;  // of the block
  std::int64_t row_ = 0, column_ = 0;  // of the next tile in it
};

// The distance of two points before and after the products.
std::int64_t source_step(const Correlation& job) { return kTiles * job.source.group_channels() + kGap; }
std::int64_t product_step(std::int64_t lanes) { return kTiles * 2 * lanes + kGap; }

}  // namespace

bool winograd_suits(const WinogradShape& shape) {
  return shape.taps_rows == 3 && shape.taps_columns == 3 && shape.stride == 1 && shape.out_rows > 1 && shape.out_columns > 1 &&
         shape.source_channels % microkernels().lanes == 0 && shape.source_channels >= 16 && shape.out_channels >= 16 &&
         shape.source_channels * shape.out_channels <= kMostProducts;
}

void winograd_weights(const float* taps, std::int64_t lanes, float* points, std::int64_t point_step) {
  float rows[4][3][kMostTransformLanes];  // G g
  for (int j = 0; j < 3; ++j) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const float a = taps[j * lanes + lane], b = taps[(3 + j) * lanes + lane], c = taps[(6 + j) * lanes + lane];
      rows[0][j][lane] = a;
      rows[1][j][lane] = 0.5f * (a + b + c);
      rows[2][j][lane] = 0.5f * (a - b + c);
      rows[3][j][lane] = c;
    }
  }
  for (int i = 0; i < 4; ++i) {
    float* to = points + 4 * i * point_step;
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const float a = rows[i][0][lane], b = rows[i][1][lane], c = rows[i][2][lane];
      to[lane] = a;
      to[point_step + lane] = 0.5f * (a + b + c);
      to[2 * point_step + lane] = 0.5f * (a - b + c);
      to[3 * point_step + lane] = c;
    }
  }
}

void winograd_taps(const float* points, std::int64_t lanes, float* taps) {
  float rows[3][4][kMostTransformLanes];  // G' m
  for (int j = 0; j < 4; ++j) {
    const float* from = points + j * lanes;
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const float b = from[4 * lanes + lane], c = from[8 * lanes + lane];
      rows[0][j][lane] = from[lane] + 0.5f * (b + c);
      rows[1][j][lane] = 0.5f * (b - c);
      rows[2][j][lane] = 0.5f * (b + c) + from[12 * lanes + lane];
    }
  }
  for (int i = 0; i < 3; ++i) {
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      const float b = rows[i][1][lane], c = rows[i][2][lane];
      taps[3 * i * lanes + lane] = rows[i][0][lane] + 0.5f * (b + c);
      taps[(3 * i + 1) * lanes + lane] = 0.5f * (b - c);
      taps[(3 * i + 2) * lanes + lane] = 0.5f * (b + c) + rows[i][3][lane];
    }
  }
}

std::int64_t winograd_floats(const Correlation& job) {
  const std::int64_t lanes = microkernels().lanes;
  return kWinogradPoints * (source_step(job) + product_step(lanes)) + (kPixels + 1) * 2 * lanes;
}

void correlate_winograd(Unit& unit, float* memory) {
  const Correlation& job = unit.job();
  const std::int64_t channels = job.source.group_channels(), lanes = unit.kernels().lanes;
  float* const sources = memory;
  float* const products = sources + kWinogradPoints * source_step(job);
  float* const pixels = products + kWinogradPoints * product_step(lanes);
  Tiles tiles;
  for (Tiling tiling(unit); !tiling.is_done();) {
    tiling.take(tiles);
    unit.pack_until(tiles.rows_needed);
    for (int begin = 0, end; begin < tiles.count; begin = end) {
      end = tiles.ends[begin];
      unit.kernels().winograd_input({.source = unit.window() + tiles.sources[begin],
                                     .tile_step = 2 * channels,
                                     .tiles = end - begin,
                                     .pitch = unit.pitch(),
                                     .channels = channels,
                                     .points = sources + begin * channels,
                                     .point_step = source_step(job)});
    }
    WinogradMultiply multiply = {};
    multiply.points = sources;
    multiply.point_step = source_step(job);
    multiply.channels = channels;
    multiply.tiles = tiles.count;
    multiply.weights = job.weights + weights_of(job, unit.group(), 0, 0);
    multiply.products = products;
    multiply.product_step = product_step(lanes);
    unit.look_ahead(tiles.pixels, kWinogradPoints, multiply.ahead);
    for (std::int64_t first = 0; first < job.group_out_channels(); first += 2 * lanes) {
      const Finish finish = unit.finish_of(pixels, tiles.pixels, tiles.outs, first);
      multiply.vectors = static_cast<int>(finish.step / lanes);
      multiply.touched = Unit::touched_by(finish);
      unit.kernels().winograd_multiply(multiply);
      multiply.weights += kWinogradPoints * channels * finish.step;
      multiply.ahead[0] = multiply.ahead[1] = {};
      unit.kernels().winograd_output(
          {.points = products, .point_step = product_step(lanes), .tiles = tiles.count, .vectors = multiply.vectors, .slots = tiles.slots, .pixels = pixels});
      unit.kernels().finish(finish);
    }
    unit.pixels_done(tiles.pixels);
  }
}

}  // namespace isda::kernels::conv2d
