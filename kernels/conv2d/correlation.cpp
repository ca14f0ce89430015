// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv2d/correlation.h"

#include <algorithm>

#include "kernels/common/parallel.h"

namespace isda::kernels::conv2d {

namespace {

constexpr std::int64_t kWindowFloats = 48 * 1024;  // 192 KB: well inside L2
constexpr std::int64_t kSlabFloats = 5 * 1024;     // 20 KB of weights: they stay in L1 beside the pixels
constexpr int kTilePixels = 96;                    // 16 register tiles of 6
constexpr std::int64_t kUnits = 16;                // rather more blocks than less units to share among threads

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

// The indices a of an axis whose outputs lie in [begin, end).
Span outputs_in(const Axis& axis, std::int64_t begin, std::int64_t end) {
  return {ceil_div(begin - axis.out_shift, axis.out_step), ceil_div(end - axis.out_shift, axis.out_step)};
}

// The source indices that the outputs [begin, end) see on any of the lattices. Empty where no tap falls on them.
Span window_of(std::span<const Axis> lattices, std::int64_t begin, std::int64_t end) {
  Span window = {0, 0};
  for (const Axis& axis : lattices) {
    const Span outputs = outputs_in(axis, begin, end);
    if (outputs.begin >= outputs.end || axis.taps == 0) continue;
    const std::int64_t first = axis.source_step * outputs.begin + axis.source_shift;
    const std::int64_t last = axis.source_step * (outputs.end - 1) + axis.source_shift + axis.taps;
    window = window.begin == window.end ? Span{first, last} : Span{std::min(window.begin, first), std::max(window.end, last)};
  }
  return window;
}

// No `outputs` neighbours see more source indices than this, wherever they lie.
std::int64_t most_sources(std::span<const Axis> lattices, std::int64_t outputs) {
  std::int64_t most = 0;
  for (const Axis& axis : lattices) most = std::max(most, ((outputs - 1) / axis.out_step + 1) * axis.source_step + axis.taps);
  return most;
}

// No window of a block of this size has more floats.
std::int64_t window_floats(const Correlation& job, std::int64_t rows, std::int64_t columns) {
  return most_sources(job.row_lattices, rows) * most_sources(job.column_lattices, columns) * job.source.group_channels();
}

// One thread's work on one unit after another.
class Worker {
 public:
  Worker(const Correlation& job, const Microkernels& kernels, float* window, float* tile)
      : job_(job), kernels_(kernels), lanes_(kernels.lanes), window_(window), tile_(tile) {}

  void unit(std::int64_t image, const Blocks::Range& block, std::int64_t group, float* partials) {
    image_ = image;
    group_ = group;
    rows_ = window_of(job_.row_lattices, block.row_begin, block.row_end);
    columns_ = window_of(job_.column_lattices, block.column_begin, block.column_end);
    pitch_ = columns_.extent() * source_channels();
    packed_rows_ = 0;
    partials_ = partials;
    pixels_before_ = 0;
    if (partials_) {
      std::fill_n(partials_ + group_ * out_channels(), out_channels(), 0.0f);
      std::fill_n(partials_ + job_.out_channels + group_ * out_channels(), out_channels(), 0.0f);
    }
    for (std::size_t i = 0; i < job_.row_lattices.size(); ++i) {
      for (std::size_t j = 0; j < job_.column_lattices.size(); ++j) {
        const Axis &row = job_.row_lattices[i], &column = job_.column_lattices[j];
        lattice(row, column, outputs_in(row, block.row_begin, block.row_end), outputs_in(column, block.column_begin, block.column_end),
                job_.weights + weights_of(job_, group_, i, j));
      }
    }
  }

 private:
  std::int64_t source_channels() const { return job_.source.group_channels(); }
  std::int64_t out_channels() const { return job_.out_channels / job_.source.groups; }

  // All output pixels of one lattice in the block, 96 at a time.
  void lattice(const Axis& row, const Axis& column, Span rows, Span columns, const float* weights) {
    if (columns.begin >= columns.end) return;
    std::ptrdiff_t sources[kTilePixels], outs[kTilePixels];
    const bool has_taps = row.taps > 0 && column.taps > 0;
    const std::ptrdiff_t source_step = has_taps ? column.source_step * source_channels() : 0, out_step = column.out_step * job_.out_channels;
    std::int64_t a = rows.begin, b = columns.begin;
    while (a < rows.end) {
      int pixels = 0;
      std::int64_t last_row = 0;
      while (pixels < kTilePixels && a < rows.end) {
        // Pixels of one row: both offsets grow by constants.
        last_row = row.source_step * a + row.source_shift - rows_.begin;
        std::ptrdiff_t source = has_taps ? last_row * pitch_ + (column.source_step * b + column.source_shift - columns_.begin) * source_channels() : 0;
        std::ptrdiff_t out = ((row.out_step * a + row.out_shift) * job_.out_columns + column.out_step * b + column.out_shift) * job_.out_channels;
        const int count = static_cast<int>(std::min<std::int64_t>(kTilePixels - pixels, columns.end - b));
        for (int i = pixels; i < pixels + count; ++i, source += source_step, out += out_step) sources[i] = source, outs[i] = out;
        pixels += count;
        b += count;
        if (b == columns.end) b = columns.begin, ++a;
      }
      if (has_taps) pack_until(last_row + row.taps);
      multiply({.source = window_,
                .offsets = sources,
                .pixels = pixels,
                .rows = has_taps ? row.taps : 0,
                .pitch = pitch_,
                .run = column.taps * source_channels(),
                .weights = weights,
                .vectors = 2,
                .tile = tile_,
                .is_continued = false,
                .touched_offsets = outs,
                .touched = {},
                .ahead = {}});
    }
  }

  // Copy the window's rows before `end` that are not there yet.
  void pack_until(std::int64_t end) {
    for (; packed_rows_ < end; ++packed_rows_) {
      pack_window_row(kernels_, job_.source, image_, group_, rows_.begin + packed_rows_, columns_, window_ + packed_rows_ * pitch_, pitch_);
    }
  }

  // One set of pixels, all output channels of the group.
  void multiply(Correlate correlate) {
    const std::int64_t all = out_channels(), taps = correlate.rows * correlate.run;
    look_ahead(correlate);
    for (std::int64_t first = 0; first < all; first += 2 * lanes_) {
      correlate.vectors = all - first > lanes_ ? 2 : 1;
      const Finish finish = finish_of(correlate, first, std::min<std::int64_t>(all - first, 2 * lanes_));
      panel(correlate, finish);
      kernels_.finish(finish);
      correlate.weights += taps * 2 * lanes_;
      correlate.ahead[0] = correlate.ahead[1] = {};
    }
    pixels_before_ += correlate.pixels;
  }

  // Whole rows of all channels lie one behind the other in memory, images too: fetch what the next pixels will make us pack.
  void look_ahead(Correlate& correlate) const {
    const Source& source = job_.source;
    if (source.groups > 1 || columns_.begin > 0 || columns_.end < source.columns) return;
    const std::int64_t image_floats = source.rows * source.columns * source.channels;
    const std::int64_t next = image_ * image_floats + std::clamp<std::int64_t>(rows_.begin + packed_rows_, 0, source.rows) * source.columns * source.channels;
    const std::int64_t floats = image_floats * correlate.pixels / (job_.out_rows * job_.out_columns) * 3 / 2;
    if (next + floats > job_.images * image_floats) return;
    const std::int64_t lines = ceil_div(floats, 16 * ceil_div(correlate.pixels, 6));
    correlate.ahead[0] = {source.load.source + next, lines};
    if (source.load.second) correlate.ahead[1] = {source.load.second + next, lines};
  }

  // One set of pixels, one panel of output channels: all taps, in slabs of weights that fit L1.
  void panel(Correlate correlate, const Finish& finish) {
    const float* const touched[4] = {finish.out, finish.residual, finish.mask_x, finish.sums_x == finish.mask_x ? nullptr : finish.sums_x};
    const std::int64_t width = correlate.vectors * lanes_, limit = std::max<std::int64_t>(1, kSlabFloats / width);
    const std::int64_t rows = correlate.rows, run = correlate.run;
    const std::int64_t rows_at_once = rows * run <= limit ? std::max<std::int64_t>(1, rows) : std::max<std::int64_t>(1, limit / run);
    const std::int64_t run_at_once = run <= limit ? std::max<std::int64_t>(1, run) : ceil_div(run, ceil_div(run, limit));
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
      if (row >= rows) std::copy_n(touched, 4, slab.touched);
      kernels_.correlate(slab);
    } while (row < rows);
  }

  Finish finish_of(const Correlate& correlate, std::int64_t first, std::int64_t channels) const {
    const std::int64_t channel = group_ * out_channels() + first;
    const std::ptrdiff_t image = image_ * job_.out_rows * job_.out_columns * job_.out_channels + channel;
    Finish finish = job_.finish;
    finish.tile = tile_;
    finish.step = correlate.vectors * lanes_;
    finish.channels = static_cast<int>(channels);
    finish.offsets = correlate.touched_offsets;
    finish.pixels = correlate.pixels;
    finish.out += image;
    if (finish.residual) finish.residual += image;
    if (finish.mask_x) finish.mask_x += image;
    if (finish.mask_scale) finish.mask_scale += channel, finish.mask_shift += channel;
    if (finish.sums_x) {
      finish.sums_x += image;
      finish.sums_mean += channel;
      finish.sum = partials_ + channel;
      finish.sum_centred = partials_ + job_.out_channels + channel;
    } else if (partials_) {
      finish.mean = partials_ + channel;
      finish.m2 = partials_ + job_.out_channels + channel;
      finish.count = static_cast<float>(pixels_before_);
    }
    return finish;
  }

  const Correlation& job_;
  const Microkernels& kernels_;
  const int lanes_;
  float* const window_;
  float* const tile_;
  // The unit at work.
  std::int64_t image_ = 0, group_ = 0;
  Span rows_ = {0, 0}, columns_ = {0, 0};  // of the source, in the window
  std::ptrdiff_t pitch_ = 0;
  std::int64_t packed_rows_ = 0;
  std::int64_t pixels_before_ = 0;
  float* partials_ = nullptr;
};

}  // namespace

Blocks::Range Blocks::range(std::int64_t block, std::int64_t out_rows, std::int64_t out_columns) const {
  const std::int64_t row = block / column_count * rows, column = block % column_count * columns;
  return {row, std::min(row + rows, out_rows), column, std::min(column + columns, out_columns)};
}

Blocks blocks_of(const Correlation& job) {
  std::int64_t rows = job.out_rows, columns = job.out_columns;
  constexpr std::int64_t kLeast = 8;
  while (window_floats(job, rows, columns) > kWindowFloats && (rows > kLeast || columns > kLeast)) {
    if (rows > kLeast) rows = ceil_div(rows, 2);
    else columns = ceil_div(columns, 2);
  }
  while (job.images * job.source.groups * ceil_div(job.out_rows, rows) < kUnits && rows > kLeast) rows = ceil_div(rows, 2);
  return {rows, columns, ceil_div(job.out_rows, rows), ceil_div(job.out_columns, columns)};
}

std::int64_t padded_channels(std::int64_t channels) {
  const std::int64_t lanes = microkernels().lanes;
  return ceil_div(channels, lanes) * lanes;
}

std::int64_t weights_of(const Correlation& job, std::int64_t group, std::size_t row_lattice, std::size_t column_lattice) {
  // The taps of the lattices before this one.
  std::int64_t all_columns = 0, columns_before = 0, all_rows = 0, rows_before = 0;
  for (std::size_t j = 0; j < job.column_lattices.size(); ++j) {
    all_columns += job.column_lattices[j].taps;
    if (j < column_lattice) columns_before += job.column_lattices[j].taps;
  }
  for (std::size_t i = 0; i < job.row_lattices.size(); ++i) {
    all_rows += job.row_lattices[i].taps;
    if (i < row_lattice) rows_before += job.row_lattices[i].taps;
  }
  const std::int64_t row_taps = row_lattice < job.row_lattices.size() ? job.row_lattices[row_lattice].taps : 0;
  const std::int64_t taps = group * all_rows * all_columns + rows_before * all_columns + row_taps * columns_before;
  return taps * job.source.group_channels() * padded_channels(job.out_channels / job.source.groups);
}

std::int64_t packed_weights(const Correlation& job) { return weights_of(job, job.source.groups, 0, 0); }

void correlate(const Context& context, const Correlation& job) {
  const Microkernels& kernels = microkernels();
  const Blocks blocks = blocks_of(job);
  const std::int64_t window = window_floats(job, blocks.rows, blocks.columns), tile = kTilePixels * 2 * kernels.lanes;
  Scratch scratch = context.scratch();
  const std::int64_t per_thread = ceil_div(window + tile, 16) * 16;
  float* memory = scratch.take<float>(context.threads() * per_thread);

  parallel_for(context, job.images * blocks.count() * job.source.groups, [&](std::int64_t index, int thread) {
    const std::int64_t unit = index / job.source.groups, group = index % job.source.groups;
    float* own = memory + thread * per_thread;
    Worker worker(job, kernels, own + tile, own);
    worker.unit(unit / blocks.count(), blocks.range(unit % blocks.count(), job.out_rows, job.out_columns), group,
                job.partials ? job.partials + unit * 2 * job.out_channels : nullptr);
  });
}

}  // namespace isda::kernels::conv2d
