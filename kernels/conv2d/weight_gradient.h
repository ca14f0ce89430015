// SPDX-License-Identifier: Apache-2.0
// How the gradient of the weights is cut into work, and one unit of it: a chunk of images, a group, a slice of its outputs.
//
// Both ways to compute it are products of dy (pixels x outputs) and x (pixels x run), once for each of a few `rows`:
//   direct     rows: the R tap rows; under one of them the S*C columns and channels of the packed input are one contiguous run
//   Winograd   rows: the 16 points of winograd.h; pixels: tiles of 2x2; run: the C channels
// The multiply kernel holds 4 outputs x 3 vectors of the run in registers and sweeps the pixels of a block.
#pragma once
#include <cstdint>

#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/window.h"

namespace isda::kernels::conv2d {

// A few vectors of the run: what the kernel holds in registers.
struct RunTile {
  std::int64_t first;  // vector
  int vectors;         // 1, 2 or 3
};

// A function of the shapes only. Channels and outputs are those of a group.
struct WeightPlan {
  explicit WeightPlan(const Conv2dBackwardWeights& op);

  bool is_winograd;
  std::int64_t lanes, images, groups, stride, padding;
  std::int64_t R, S, channels, outputs, P, Q;
  std::int64_t rows, run, run_vectors, run_tiles, quads;
  std::int64_t partial_floats;  // the sums of one chunk: [group][row][run tile][quad][4][vectors*lanes]
  std::int64_t chunks;          // of images
  std::int64_t slices, slice_quads;
  // Blocks of dy: so many rows and columns of an image, or of several whole images.
  std::int64_t block_rows, block_columns, block_images = 1;

  std::int64_t units() const { return units_with(slice_quads); }
  RunTile run_tile(std::int64_t index) const;
  // The first sum of a run tile, within a chunk.
  std::int64_t sums_of(std::int64_t group, std::int64_t row, const RunTile& tile) const;
  Span chunk(std::int64_t index) const { return {index * images / chunks, (index + 1) * images / chunks}; }

  // A block in memory: the window of x, that of dy (Winograd) or its quads (direct), the points of both (Winograd).
  std::int64_t tile_rows() const { return (block_rows + 1) / 2; }
  std::int64_t tile_columns() const { return (block_columns + 1) / 2; }
  std::int64_t block_tiles() const { return block_images * tile_rows() * tile_columns(); }
  std::int64_t slice_channels() const { return slice_quads * 4; }
  std::int64_t x_pitch() const;
  std::int64_t x_floats() const;  // of one image's window
  std::int64_t dy_pitch() const;
  std::int64_t dy_floats() const;  // of one image
  std::int64_t x_point_step() const { return block_tiles() * channels + kGap; }
  std::int64_t dy_point_step() const { return block_tiles() * slice_channels() + kGap; }
  std::int64_t memory_floats() const;       // of one thread
  static constexpr std::int64_t kGap = 16;  // so that points do not lie at distances of 4 KB, where they fight for the same lines of L1

 private:
  std::int64_t units_with(std::int64_t quads_of_slice) const { return chunks * groups * ((quads + quads_of_slice - 1) / quads_of_slice); }
  void cut_into_blocks();
};

// Computes the sums of unit `index` of plan.units() into the partials of its chunk, all chunks' [chunk][partial_floats].
// memory: memory_floats(); row_offsets: block_images*block_rows, both of one thread.
struct WeightMemory {
  float* floats;
  std::ptrdiff_t* row_offsets;
};
void weight_unit(const WeightPlan& plan, const Source& x, const Source& dy, std::int64_t index, float* partials, const WeightMemory& memory);

}  // namespace isda::kernels::conv2d
