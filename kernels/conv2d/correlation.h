// SPDX-License-Identifier: Apache-2.0
// The engine of the forward pass and of backward-data on the cpu: a dense correlation over a packed copy of the source.
//
// Both passes are  out[h,w,o] = sum over taps i,j and source channels q of  source[..+i, ..+j, q] * weights[o,i,j,q]  on a lattice
// of output pixels: the forward pass on one lattice, whose taps start every `stride` source pixels; backward-data on stride^2
// lattices, the residue classes of (h + padding, w + padding) modulo stride, each with its own subset of the taps and no
// multiplication by an inserted zero.
//
// The story of one unit of work (an image, a block of output rows and columns, a group):
//   1. Copy the rows of the source that the next pixels see into a thread's own window, f(x) applied, zeros around it (unit.h).
//   2. For up to 96 pixels and two vectors of output channels: multiply, in one of two ways:
//      direct.cpp    any kernel, stride, channels: every tap is a multiply-add
//      winograd.cpp  3x3, stride 1, whole vectors of channels: 16 products for 2x2 pixels instead of 36
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

  // The indices a whose outputs lie in [begin, end).
  Span outputs_in(std::int64_t begin, std::int64_t end) const;
};

struct Correlation {
  std::int64_t images;
  Source source;
  std::int64_t out_rows, out_columns, out_channels;  // channels of all groups
  std::span<const Axis> row_lattices, column_lattices;
  bool is_winograd;  // winograd_suits() it, and the weights are packed for it
  // As the caller packed them, floats by packed_weights(): panels of 2*lanes output channels, the last of a group with only lanes of
  // them where that is enough.
  //   direct    [group][row lattice][column lattice][panel][tap][tap][source channel][lane]
  //   Winograd  [group][panel][16 points][source channel][lane]
  const float* weights;
  Finish finish;  // out, residual, mask, sums_x, sums_mean: of image 0 and channel 0
  // For each unit and channel two partials: [unit][2][out_channels]. Statistics: mean and m2. Sums: sum and sum_centred. Or null.
  float* partials;

  std::int64_t group_out_channels() const { return out_channels / source.groups; }
};

// How the output of one image is cut. A fixed function of the shapes.
struct Blocks {
  std::int64_t rows, columns;  // of one block
  std::int64_t row_count, column_count;
  std::int64_t count() const { return row_count * column_count; }
  // The output pixels of a block.
  struct Range {
    Span rows, columns;
    std::int64_t pixels() const { return rows.extent() * columns.extent(); }
  };
  Range range(std::int64_t block, std::int64_t out_rows, std::int64_t out_columns) const;
};
Blocks blocks_of(const Correlation& job);

// Output channels of a group, rounded up to whole vectors.
std::int64_t padded_channels(std::int64_t channels);
// Floats of all packed weights, and the place of a lattice's first.
std::int64_t packed_weights(const Correlation& job);
std::int64_t weights_of(const Correlation& job, std::int64_t group, std::size_t row_lattice, std::size_t column_lattice);

void correlate(const Context& context, const Correlation& job);

}  // namespace isda::kernels::conv2d
