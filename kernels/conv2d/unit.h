// SPDX-License-Identifier: Apache-2.0
// One unit of a correlation at work: an image, a block of its output, a group; with the window it reads and the epilogue it writes through.
#pragma once
#include "kernels/conv2d/correlation.h"

namespace isda::kernels::conv2d {

class Unit {
 public:
  // window: window_floats() of memory. partials: [2][out_channels] for this unit, or null.
  Unit(const Correlation& job, std::int64_t image, const Blocks::Range& block, std::int64_t group, float* window, float* partials);

  const Correlation& job() const { return job_; }
  const Microkernels& kernels() const { return kernels_; }
  const Blocks::Range& block() const { return block_; }
  std::int64_t group() const { return group_; }

  // The window: [rows][columns][channels of the group], its first row and column are these of the source.
  const float* window() const { return window_; }
  std::ptrdiff_t pitch() const { return pitch_; }
  std::int64_t first_row() const { return rows_.begin; }
  std::int64_t first_column() const { return columns_.begin; }
  // Copies the rows of the window before `end` that are not there yet.
  void pack_until(std::int64_t end);

  // The next `pixels` pixels of the output, at these offsets in an image, and two vectors of channels from `first`: where the tile
  // goes, and what of it is to be fetched meanwhile. After its last panel the pixels are done.
  Finish finish_of(float* tile, int pixels, const std::ptrdiff_t* offsets, std::int64_t first) const;
  static Touched touched_by(const Finish& finish);
  void pixels_done(int pixels) { pixels_before_ += pixels; }

  // What of the source is to be fetched while `pixels` pixels are computed in `steps` steps, because it will be packed next.
  void look_ahead(int pixels, std::int64_t steps, Ahead (&ahead)[2]) const;

 private:
  const Correlation& job_;
  const Microkernels& kernels_;
  const std::int64_t image_, group_;
  const Blocks::Range block_;
  Span rows_, columns_;  // of the source, in the window
  const std::ptrdiff_t pitch_;
  float* const window_;
  float* const partials_;
  std::int64_t packed_rows_ = 0;
  std::int64_t pixels_before_ = 0;
};

// No window of a block of this size has more floats.
std::int64_t window_floats(const Correlation& job, std::int64_t rows, std::int64_t columns);

// The two ways to compute a unit, and the floats of memory they need for it.
std::int64_t direct_floats(const Correlation& job);
void correlate_direct(Unit& unit, float* memory);
std::int64_t winograd_floats(const Correlation& job);
void correlate_winograd(Unit& unit, float* memory);

}  // namespace isda::kernels::conv2d
