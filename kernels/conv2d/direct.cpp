// SPDX-License-Identifier: Apache-2.0
// The direct way to compute a unit of a correlation: every tap of every channel is a multiply-add, any shape is welcome.
//
// 96 pixels at a time, wherever they lie: the kernel takes one source offset per pixel, so rows that are no multiple of its 6
// pixels cost nothing. In the window the columns and channels under one tap row are one contiguous run.
#include <algorithm>

#include "kernels/conv2d/unit.h"

namespace isda::kernels::conv2d {

namespace {

constexpr std::int64_t kSlabFloats = 5 * 1024;  // 20 KB of weights: they stay in L1 beside the pixels
constexpr int kTilePixels = 96;                 // 16 register tiles of 6

// Up to 96 pixels of one lattice: where they begin in the window and in an image of the output.
struct Pixels {
  std::ptrdiff_t sources[kTilePixels], outs[kTilePixels];
  int count = 0;
  std::int64_t rows_needed = 0;  // of the window
};

// Takes the next pixels of a lattice in the order of rows.
class Lattice {
 public:
  Lattice(const Unit& unit, const Axis& row, const Axis& column)
      : unit_(unit),
        row_(row),
        column_(column),
        rows_(row.outputs_in(unit.block().rows.begin, unit.block().rows.end)),
        columns_(column.outputs_in(unit.block().columns.begin, unit.block().columns.end)),
        a_(rows_.begin),
        b_(columns_.begin) {}

  bool has_taps() const { return row_.taps > 0 && column_.taps > 0; }
  bool is_done() const { return a_ >= rows_.end || columns_.extent() <= 0; }

  void take(Pixels& pixels) {
    const Correlation& job = unit_.job();
    const std::int64_t channels = job.source.group_channels();
    const std::ptrdiff_t source_step = column_.source_step * channels, out_step = column_.out_step * job.out_channels;
    pixels.count = 0;
    while (pixels.count < kTilePixels && a_ < rows_.end) {
      // Pixels of one row: both offsets grow by constants.
      const std::int64_t row = row_.source_step * a_ + row_.source_shift - unit_.first_row();
      std::ptrdiff_t source = row * unit_.pitch() + (column_.source_step * b_ + column_.source_shift - unit_.first_column()) * channels;
      std::ptrdiff_t out = ((row_.out_step * a_ + row_.out_shift) * job.out_columns + column_.out_step * b_ + column_.out_shift) * job.out_channels;
      const int end = static_cast<int>(std::min<std::int64_t>(kTilePixels, pixels.count + columns_.end - b_));
      b_ += end - pixels.count;
      for (; pixels.count < end; ++pixels.count, source += source_step, out += out_step) {
        pixels.sources[pixels.count] = source;
        pixels.outs[pixels.count] = out;
      }
      pixels.rows_needed = row + row_.taps;
      if (b_ == columns_.end) b_ = columns_.begin, ++a_;
    }
  }

 private:
  const Unit& unit_;
  const Axis& row_;
  const Axis& column_;
  const Span rows_, columns_;
  std::int64_t a_, b_;
};

// One set of pixels, one panel of output channels: all taps, in slabs of weights that fit L1.
void multiply(const Unit& unit, const Correlate& correlate, const Finish& finish) {
  const std::int64_t width = finish.step, limit = std::max<std::int64_t>(1, kSlabFloats / width);
  const std::int64_t rows = correlate.rows, run = correlate.run;
  const std::int64_t rows_at_once = rows * run <= limit ? std::max<std::int64_t>(1, rows) : std::max<std::int64_t>(1, limit / run);
  const std::int64_t slabs_of_run = (run + limit - 1) / limit;
  const std::int64_t run_at_once = slabs_of_run <= 1 ? std::max<std::int64_t>(1, run) : (run + slabs_of_run - 1) / slabs_of_run;
  // NOTE: at least once, also for a lattice without taps: it writes zeros.
  std::int64_t row = 0, j = 0;
  do {
    Correlate slab = correlate;
    slab.source += row * correlate.pitch + j;
    slab.rows = std::min(rows_at_once, rows - row);
    slab.run = std::min(run_at_once, run - j);
    slab.weights += (row * run + j) * width;
    slab.is_continued = row + j > 0;
    if (slab.is_continued) slab.ahead[0] = slab.ahead[1] = {};
    j += run_at_once;
    if (j >= run) j = 0, row += rows_at_once;
    if (row >= rows) slab.touched = Unit::touched_by(finish);
    unit.kernels().correlate(slab);
  } while (row < rows);
}

}  // namespace

std::int64_t direct_floats(const Correlation&) { return kTilePixels * 2 * microkernels().lanes; }

void correlate_direct(Unit& unit, float* tile) {
  const Correlation& job = unit.job();
  const std::int64_t lanes = unit.kernels().lanes;
  Pixels pixels;
  for (std::size_t i = 0; i < job.row_lattices.size(); ++i) {
    for (std::size_t j = 0; j < job.column_lattices.size(); ++j) {
      const Axis &row = job.row_lattices[i], &column = job.column_lattices[j];
      for (Lattice lattice(unit, row, column); !lattice.is_done();) {
        lattice.take(pixels);
        if (lattice.has_taps()) unit.pack_until(pixels.rows_needed);
        Correlate correlate = {};
        correlate.source = unit.window();
        correlate.offsets = pixels.sources;
        correlate.pixels = pixels.count;
        correlate.rows = lattice.has_taps() ? row.taps : 0;
        correlate.pitch = unit.pitch();
        correlate.run = column.taps * job.source.group_channels();
        correlate.weights = job.weights + weights_of(job, unit.group(), i, j);
        correlate.tile = tile;
        unit.look_ahead(pixels.count, (pixels.count + 5) / 6, correlate.ahead);
        for (std::int64_t first = 0; first < job.group_out_channels(); first += 2 * lanes) {
          const Finish finish = unit.finish_of(tile, pixels.count, pixels.outs, first);
          correlate.vectors = static_cast<int>(finish.step / lanes);
          multiply(unit, correlate, finish);
          unit.kernels().finish(finish);
          correlate.weights += correlate.rows * correlate.run * 2 * lanes;
          correlate.ahead[0] = correlate.ahead[1] = {};
        }
        unit.pixels_done(pixels.count);
      }
    }
  }
}

}  // namespace isda::kernels::conv2d
