// SPDX-License-Identifier: Apache-2.0
#include "kernels/conv2d/correlation.h"

#include <algorithm>

#include "kernels/common/parallel.h"
#include "kernels/conv2d/unit.h"
#include "kernels/conv2d/winograd.h"

namespace isda::kernels::conv2d {

namespace {

constexpr std::int64_t kWindowFloats = 48 * 1024;  // 192 KB: well inside L2
constexpr std::int64_t kUnits = 16;                // rather more blocks than less units to share among threads

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

// The taps of an axis before lattice `end`.
std::int64_t taps_before(std::span<const Axis> lattices, std::size_t end) {
  std::int64_t taps = 0;
  for (const Axis& axis : lattices.first(end)) taps += axis.taps;
  return taps;
}

}  // namespace

Span Axis::outputs_in(std::int64_t begin, std::int64_t end) const { return {ceil_div(begin - out_shift, out_step), ceil_div(end - out_shift, out_step)}; }

Blocks::Range Blocks::range(std::int64_t block, std::int64_t out_rows, std::int64_t out_columns) const {
  const std::int64_t row = block / column_count * rows, column = block % column_count * columns;
  return {{row, std::min(row + rows, out_rows)}, {column, std::min(column + columns, out_columns)}};
}

Blocks blocks_of(const Correlation& job) {
  std::int64_t rows = job.out_rows, columns = job.out_columns;
  constexpr std::int64_t kLeast = 8;
  while (window_floats(job, rows, columns) > kWindowFloats && (rows > kLeast || columns > kLeast)) {
    if (rows > kLeast)
      rows = ceil_div(rows, 2);
    else
      columns = ceil_div(columns, 2);
  }
  while (job.images * job.source.groups * ceil_div(job.out_rows, rows) < kUnits && rows > kLeast) rows = ceil_div(rows, 2);
  return {rows, columns, ceil_div(job.out_rows, rows), ceil_div(job.out_columns, columns)};
}

std::int64_t padded_channels(std::int64_t channels) {
  const std::int64_t lanes = microkernels().lanes;
  return ceil_div(channels, lanes) * lanes;
}

std::int64_t weights_of(const Correlation& job, std::int64_t group, std::size_t row_lattice, std::size_t column_lattice) {
  const std::int64_t floats_per_tap = job.source.group_channels() * padded_channels(job.group_out_channels());
  if (job.is_winograd) return group * kWinogradPoints * floats_per_tap;
  const std::int64_t all_rows = taps_before(job.row_lattices, job.row_lattices.size());
  const std::int64_t all_columns = taps_before(job.column_lattices, job.column_lattices.size());
  const std::int64_t row_taps = row_lattice < job.row_lattices.size() ? job.row_lattices[row_lattice].taps : 0;
  const std::int64_t taps =
      (group * all_rows + taps_before(job.row_lattices, row_lattice)) * all_columns + row_taps * taps_before(job.column_lattices, column_lattice);
  return taps * floats_per_tap;
}

std::int64_t packed_weights(const Correlation& job) { return weights_of(job, job.source.groups, 0, 0); }

void correlate(const Context& context, const Correlation& job) {
  const Blocks blocks = blocks_of(job);
  const std::int64_t memory = job.is_winograd ? winograd_floats(job) : direct_floats(job);
  const std::int64_t per_thread = ceil_div(memory, 16) * 16 + ceil_div(window_floats(job, blocks.rows, blocks.columns), 16) * 16;
  Scratch scratch = context.scratch();
  float* all = scratch.take<float>(context.threads() * per_thread);

  parallel_for(context, job.images * blocks.count() * job.source.groups, [&](std::int64_t index, int thread) {
    const std::int64_t image_block = index / job.source.groups, group = index % job.source.groups;
    float* own = all + thread * per_thread;
    Unit unit(job, image_block / blocks.count(), blocks.range(image_block % blocks.count(), job.out_rows, job.out_columns), group,
              own + ceil_div(memory, 16) * 16, job.partials ? job.partials + image_block * 2 * job.out_channels : nullptr);
    if (job.is_winograd)
      correlate_winograd(unit, own);
    else
      correlate_direct(unit, own);
  });
}

}  // namespace isda::kernels::conv2d
