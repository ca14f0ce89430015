// SPDX-License-Identifier: Apache-2.0
// The gradient of the weights on the cpu: dweight[k,r,s,c] = sum over n,p,q of dy[n,p,q,k] * f(x)[n, p*stride+r, q*stride+s, c].
//
// The images are cut into at most 16 chunks, a function of the shapes only. Each unit of work (weight_gradient.h) leaves the sums of
// its chunk, direct by taps or by the points of Winograd; here the chunks are added in order and, for Winograd, taken back to taps.
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/common/parallel.h"
#include "kernels/conv2d/weight_gradient.h"
#include "kernels/conv2d/winograd.h"

namespace isda::kernels {

namespace {

using namespace conv2d;

// to[0..count) = the chunks' sums at `at`, added in order.
void add_chunks(const WeightPlan& plan, const float* at, std::int64_t count, float* to) {
  std::copy_n(at, count, to);
  for (std::int64_t chunk = 1; chunk < plan.chunks; ++chunk) {
    const float* from = at + chunk * plan.partial_floats;
    for (std::int64_t i = 0; i < count; ++i) to[i] += from[i];
  }
}

// All taps of one output of a group and one tile of its run.
void merge_taps(const WeightPlan& plan, const float* partials, std::int64_t group, const RunTile& tile, std::int64_t k, float* dweight) {
  const std::int64_t width = tile.vectors * plan.lanes, first = tile.first * plan.lanes, valid = std::min(width, plan.run - first);
  for (std::int64_t r = 0; r < plan.R; ++r) {
    add_chunks(plan, partials + plan.sums_of(group, r, tile) + k * width, valid, dweight + ((group * plan.outputs + k) * plan.R + r) * plan.run + first);
  }
}

// The same from the points of Winograd.
void merge_points(const WeightPlan& plan, const float* partials, std::int64_t group, const RunTile& tile, std::int64_t k, float* dweight) {
  const std::int64_t width = tile.vectors * plan.lanes;
  float points[kWinogradPoints * kMostTransformLanes], taps[9 * kMostTransformLanes];
  for (int point = 0; point < kWinogradPoints; ++point) {
    add_chunks(plan, partials + plan.sums_of(group, point, tile) + k * width, width, points + point * width);
  }
  winograd_taps(points, width, taps);
  for (std::int64_t tap = 0; tap < 9; ++tap) {
    std::copy_n(taps + tap * width, width, dweight + ((group * plan.outputs + k) * 9 + tap) * plan.channels + tile.first * plan.lanes);
  }
}

}  // namespace

void run(Cpu, const Context& context, const Conv2dBackwardWeights& op) {
  check_cpu(op.name, op.x);
  const WeightPlan plan(op);
  Source x = {.rows = op.x.extent(1), .columns = op.x.extent(2), .channels = op.x.extent(3), .groups = op.groups, .load = {}};
  x.load.source = op.x.as<float>();
  x.load.scale = op.prologue.scale.as<float>();
  x.load.shift = op.prologue.shift.as<float>();
  x.load.relu = op.prologue.relu;
  Source dy = {.rows = plan.P, .columns = plan.Q, .channels = op.dy.extent(3), .groups = op.groups, .load = {}};
  dy.load.source = op.dy.as<float>();
  dy.load.second = op.gradient_prologue.y.as<float>();
  dy.load.scale = op.gradient_prologue.scale.as<float>();
  dy.load.second_scale = op.gradient_prologue.y_scale.as<float>();
  dy.load.shift = op.gradient_prologue.shift.as<float>();

  Scratch scratch = context.scratch();
  const std::int64_t floats = plan.memory_floats(), rows = plan.block_images * plan.block_rows;
  float* partials = scratch.take<float>(plan.chunks * plan.partial_floats);
  float* memory = scratch.take<float>(context.threads() * floats);
  std::ptrdiff_t* row_offsets = scratch.take<std::ptrdiff_t>(context.threads() * rows);
  parallel_for(context, plan.units(), [&](std::int64_t index, int thread) {
    weight_unit(plan, x, dy, index, partials, {.floats = memory + thread * floats, .row_offsets = row_offsets + thread * rows});
  });

  float* dweight = op.dweight.as<float>();
  parallel_ranges(context, plan.groups * plan.run_tiles * plan.outputs, 4, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t index = begin; index < end; ++index) {
      const std::int64_t k = index % plan.outputs, group = index / plan.outputs / plan.run_tiles;
      const RunTile tile = plan.run_tile(index / plan.outputs % plan.run_tiles);
      if (plan.is_winograd)
        merge_points(plan, partials, group, tile, k, dweight);
      else
        merge_taps(plan, partials, group, tile, k, dweight);
    }
  });
}

}  // namespace isda::kernels
