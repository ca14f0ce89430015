// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv2d/unit.h"

#include <algorithm>

namespace isda::kernels::conv2d {

namespace {

// The source indices that the outputs in `range` see on any of the lattices. Empty where no tap falls on them.
Span window_of(std::span<const Axis> lattices, Span range, bool is_winograd) {
  Span window = {0, 0};
  for (const Axis& axis : lattices) {
    const Span outputs = axis.outputs_in(range.begin, range.end);
    if (outputs.extent() <= 0 || axis.taps == 0) continue;
    const std::int64_t first = axis.source_step * outputs.begin + axis.source_shift;
    const std::int64_t last = axis.source_step * (outputs.end - 1) + axis.source_shift + axis.taps;
    window = window.extent() == 0 ? Span{first, last} : Span{std::min(window.begin, first), std::max(window.end, last)};
  }
  // Tiles of 2x2: an odd last row or column is computed with one that is thrown away.
  if (is_winograd) window.end += range.extent() % 2;
  return window;
}

// No `outputs` neighbours see more source indices than this, wherever they lie.
std::int64_t most_sources(std::span<const Axis> lattices, std::int64_t outputs) {
  std::int64_t most = 0;
  for (const Axis& axis : lattices) most = std::max(most, ((outputs - 1) / axis.out_step + 1) * axis.source_step + axis.taps);
  return most;
}

}  // namespace

std::int64_t window_floats(const Correlation& job, std::int64_t rows, std::int64_t columns) {
  // NOTE: the odd row and column of Winograd are covered too: with stride 1 the bound below counts one more than is seen.
  return most_sources(job.row_lattices, rows) * most_sources(job.column_lattices, columns) * job.source.group_channels();
}

Unit::Unit(const Correlation& job, std::int64_t image, const Blocks::Range& block, std::int64_t group, float* window, float* partials)
    : job_(job),
      kernels_(microkernels()),
      image_(image),
      group_(group),
      block_(block),
      rows_(window_of(job.row_lattices, block.rows, job.is_winograd)),
      columns_(window_of(job.column_lattices, block.columns, job.is_winograd)),
      pitch_(columns_.extent() * job.source.group_channels()),
      window_(window),
      partials_(partials) {
  if (!partials_) return;
  const std::int64_t channels = job_.group_out_channels();
  std::fill_n(partials_ + group_ * channels, channels, 0.0f);
  std::fill_n(partials_ + job_.out_channels + group_ * channels, channels, 0.0f);
}

void Unit::pack_until(std::int64_t end) {
  for (; packed_rows_ < end; ++packed_rows_) {
    pack_window_row(kernels_, job_.source, image_, group_, rows_.begin + packed_rows_, columns_, window_ + packed_rows_ * pitch_, pitch_);
  }
}

Finish Unit::finish_of(float* tile, int pixels, const std::ptrdiff_t* offsets, std::int64_t first) const {
  const std::int64_t rest = job_.group_out_channels() - first, channel = group_ * job_.group_out_channels() + first;
  const std::ptrdiff_t image = image_ * job_.out_rows * job_.out_columns * job_.out_channels + channel;
  Finish finish = job_.finish;
  finish.tile = tile;
  finish.step = (rest > kernels_.lanes ? 2 : 1) * kernels_.lanes;
  finish.channels = static_cast<int>(std::min<std::int64_t>(rest, finish.step));
  finish.offsets = offsets;
  finish.pixels = pixels;
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

Touched Unit::touched_by(const Finish& finish) {
  return {.offsets = finish.offsets,
          .pixels = finish.pixels,
          .out = finish.out,
          .read = {finish.residual, finish.mask_x, finish.sums_x == finish.mask_x ? nullptr : finish.sums_x}};
}

void Unit::look_ahead(int pixels, std::int64_t steps, Ahead (&ahead)[2]) const {
  // Whole rows of all channels lie one behind the other in memory, images too.
  const Source& source = job_.source;
  if (source.groups > 1 || columns_.begin > 0 || columns_.end < source.columns) return;
  const std::int64_t row_floats = source.columns * source.channels, image_floats = source.rows * row_floats;
  const std::int64_t next = image_ * image_floats + std::clamp<std::int64_t>(rows_.begin + packed_rows_, 0, source.rows) * row_floats;
  const std::int64_t floats = image_floats * pixels / (job_.out_rows * job_.out_columns) * 3 / 2;
  if (next + floats > job_.images * image_floats) return;
  const std::int64_t lines = (floats + 16 * steps - 1) / (16 * steps);
  ahead[0] = {source.load.source + next, lines};
  if (source.load.second) ahead[1] = {source.load.second + next, lines};
}

}  // namespace isda::kernels::conv2d
