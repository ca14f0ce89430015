// SPDX-License-Identifier: Apache-2.0
// The engine of the forward pass and of backward-data on the cpu: a dense correlation over a packed copy of the source.
//
// Both passes are  out[h,w,o] = sum over taps i,j and source channels q of  source[..+i, ..+j, q] * weights[o,i,j,q]  on a lattice
// of output pixels: the forward pass on one lattice, whose taps start every `stride` source pixels; backward-data on stride^2
// lattices, the residue classes of (h + padding, w + padding) modulo stride, each with its own subset of the taps and no
// multiplication by an inserted zero.
//
// The story of one unit of work (an image, a block of output rows and columns, a group):
//   1. Copy the rows of the source that the next pixels see into a thread's own window, f(x) applied, zeros around it. In the
//      window the columns and channels under one tap row are one contiguous run: taps*channels.
//   2. For up to 96 pixels and two vectors of output channels: multiply (microkernels.h), weights cut into slabs that stay in L1.
//   3. Take the tile through the epilogue into the output while it is in L1.
// Units are independent of each other and of the number of threads; sums over units are merged in order by the caller.
#pragma once
#include <cstdint>
#include <span>

#include "kernels/common/context.h"
#include "kernels/conv2d/microkernels.h"
#include "kernels/conv2d/window.h"

namespace isda::kernels::conv2d {

// One axis of a lattice: output index out_step*a + out_shift sees source indices source_step*a + source_shift + [0, taps).
struct Axis {
  std::int64_t out_step, out_shift, source_step, source_shift, taps;
};

struct Correlation {
  std::int64_t images;
  Source source;
  std::int64_t out_rows, out_columns, out_channels;
  std::span<const Axis> row_lattices, column_lattices;
  // [group][row lattice][column lattice][panel of 2*lanes outputs][tap][tap][source channel][lane]; the last panel has only lanes
  // outputs where that is enough. packed_weights() gives the size, weights_of() the place of a lattice.
  const float* weights;
  Finish finish;  // out, residual, mask, sums_x, sums_mean: of image 0 and channel 0
  // For each unit and channel two partials: [unit][2][out_channels]. Statistics: mean and m2. Sums: sum and sum_centred. Or null.
  float* partials;
};

// How the output of one image is cut. A fixed function of the shapes.
struct Blocks {
  std::int64_t rows, columns;              // of one block
  std::int64_t row_count, column_count;
  std::int64_t count() const { return row_count * column_count; }
  // The output pixels of a block.
  struct Range {
    std::int64_t row_begin, row_end, column_begin, column_end;
    std::int64_t pixels() const { return (row_end - row_begin) * (column_end - column_begin); }
  };
  Range range(std::int64_t block, std::int64_t out_rows, std::int64_t out_columns) const;
};
Blocks blocks_of(const Correlation& job);

// Output channels of a group, rounded up to whole vectors.
std::int64_t padded_channels(std::int64_t channels);
// Floats of all packed weights, and the first one of a panel of a lattice.
std::int64_t packed_weights(const Correlation& job);
std::int64_t weights_of(const Correlation& job, std::int64_t group, std::size_t row_lattice, std::size_t column_lattice);

void correlate(const Context& context, const Correlation& job);

}  // namespace isda::kernels::conv2d
