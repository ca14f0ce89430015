// SPDX-License-Identifier: Apache-2.0
// The gradient of the input on the cpu: correlations over dy, one for each residue class of the padded pixel modulo stride.
//
// dx[h] = sum over r, p with p*stride + r = h + padding of dy[p]*w[r]. With h + padding = stride*a + e only the taps
// r = e + stride*t contribute, t < T = ceil((R - e) / stride), and p = a - t. Read forwards from p = a - T + 1 this is a correlation of stride 1
// with the taps reversed: tap i of the lattice is r = e + stride*(T - 1 - i). A class without taps (1x1, stride 2) is zero.
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/common/grid.h"
#include "kernels/common/parallel.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/correlation.h"
#include "kernels/conv2d/winograd.h"

namespace isda::kernels {

namespace {

using namespace conv2d;

// The lattices of one axis with `taps` taps in all.
std::span<const Axis> lattices_of(Scratch& scratch, std::int64_t taps, const Conv2dBackwardData& op) {
  Axis* axes = scratch.take<Axis>(op.stride);
  for (int e = 0; e < op.stride; ++e) {
    const std::int64_t count = e < taps ? (taps - e + op.stride - 1) / op.stride : 0;
    axes[e] = {.out_step = op.stride, .out_shift = e - op.padding, .source_step = 1, .source_shift = 1 - count, .taps = count};
  }
  return {axes, static_cast<std::size_t>(op.stride)};
}

// One panel of input channels from `first`, of which `valid` exist, on one lattice: [tap i][tap j][output channel][lane].
struct Panel {
  std::int64_t group, e, f, first, valid, lanes;
};
void pack_panel(const Conv2dBackwardData& op, const Correlation& job, const Panel& panel, float* packed) {
  const auto [K, R, S, Cg] = op.weight.extents<4>();
  const std::int64_t row_taps = job.row_lattices[static_cast<std::size_t>(panel.e)].taps,
                     column_taps = job.column_lattices[static_cast<std::size_t>(panel.f)].taps;
  const std::int64_t outputs = K / op.groups;
  float* to = packed + weights_of(job, panel.group, static_cast<std::size_t>(panel.e), static_cast<std::size_t>(panel.f)) +
              panel.first * row_taps * column_taps * outputs;
  for (const auto [i, j, k] : grid(row_taps, column_taps, outputs)) {
    const std::int64_t r = panel.e + op.stride * (row_taps - 1 - i), s = panel.f + op.stride * (column_taps - 1 - j);
    std::copy_n(op.weight.as<float>() + (((panel.group * outputs + k) * R + r) * S + s) * Cg + panel.first, panel.valid, to);
    std::fill_n(to + panel.valid, panel.lanes - panel.valid, 0.0f);
    to += panel.lanes;
  }
}

// The same for the Winograd way: [point][output channel][lane].
void pack_winograd_panel(const Conv2dBackwardData& op, const Correlation& job, const Panel& panel, float* packed) {
  const auto [K, R, S, Cg] = op.weight.extents<4>();
  const std::int64_t outputs = K / op.groups;
  float* to = packed + weights_of(job, panel.group, 0, 0) + panel.first * kWinogradPoints * outputs;
  for (std::int64_t k = 0; k < outputs; ++k) {
    const float* from = op.weight.as<float>() + (panel.group * outputs + k) * R * S * Cg + panel.first;
    float kernels[9 * kMostTransformLanes];
    for (std::int64_t tap = 0; tap < 9; ++tap) {
      std::copy_n(from + (8 - tap) * Cg, panel.valid, kernels + tap * panel.lanes);
      std::fill_n(kernels + tap * panel.lanes + panel.valid, panel.lanes - panel.valid, 0.0f);
    }
    winograd_weights(kernels, panel.lanes, to + k * panel.lanes, outputs * panel.lanes);
  }
}

void pack_weights(const Context& context, const Conv2dBackwardData& op, const Correlation& job, float* packed) {
  const std::int64_t channels = job.group_out_channels(), width = 2 * microkernels().lanes, panels = (channels + width - 1) / width;
  const std::int64_t stride = op.stride;
  parallel_for(context, op.groups * stride * stride * panels, [&](std::int64_t index) {
    const std::int64_t first = index % panels * width;
    const Panel panel = {.group = index / panels / stride / stride,
                         .e = index / panels / stride % stride,
                         .f = index / panels % stride,
                         .first = first,
                         .valid = std::min(width, channels - first),
                         .lanes = std::min(width, padded_channels(channels) - first)};
    if (job.is_winograd)
      pack_winograd_panel(op, job, panel, packed);
    else
      pack_panel(op, job, panel, packed);
  });
}

void merge_sums(const Context& context, const Conv2dBackwardDataEpilogue::Sums& sums, std::int64_t units, const float* partials) {
  const std::int64_t channels = sums.sum.size();
  parallel_ranges(context, channels, 16, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c) {
      double sum = 0, sum_centred = 0;
      for (std::int64_t unit = 0; unit < units; ++unit) {
        sum += partials[unit * 2 * channels + c];
        sum_centred += partials[(unit * 2 + 1) * channels + c];
      }
      sums.sum.as<float>()[c] = static_cast<float>(sum);
      sums.sum_centred.as<float>()[c] = static_cast<float>(sum_centred);
    }
  });
}

}  // namespace

void run(Cpu, const Context& context, const Conv2dBackwardData& op) {
  check_cpu(op.name, op.dx);
  const auto [N, H, W, C] = op.dx.extents<4>();
  const auto [K, R, S, Cg] = op.weight.extents<4>();
  Scratch scratch = context.scratch();
  Correlation job = {
      .images = N,
      .source = {.rows = op.dy.extent(1), .columns = op.dy.extent(2), .channels = K, .groups = op.groups, .load = {}},
      .out_rows = H,
      .out_columns = W,
      .out_channels = C,
      .row_lattices = lattices_of(scratch, R, op),
      .column_lattices = lattices_of(scratch, S, op),
      .is_winograd = winograd_suits(
          {.taps_rows = R, .taps_columns = S, .stride = op.stride, .out_rows = H, .out_columns = W, .source_channels = K / op.groups, .out_channels = Cg}),
      .weights = nullptr,
      .finish = {},
      .partials = nullptr,
  };
  job.source.load.source = op.dy.as<float>();
  job.source.load.scale = op.prologue.scale.as<float>();
  job.source.load.shift = op.prologue.shift.as<float>();
  job.source.load.second = op.prologue.y.as<float>();
  job.source.load.second_scale = op.prologue.y_scale.as<float>();
  const auto& [residual, mask, sums] = op.epilogue;
  job.finish.out = op.dx.as<float>();
  job.finish.residual = residual.as<float>();
  job.finish.mask_x = mask.x.as<float>();
  job.finish.mask_scale = mask.scale.as<float>();
  job.finish.mask_shift = mask.shift.as<float>();
  job.finish.sums_x = sums.x.as<float>();
  job.finish.sums_mean = sums.mean.as<float>();

  float* weights = scratch.take<float>(packed_weights(job));
  pack_weights(context, op, job, weights);
  job.weights = weights;
  const std::int64_t units = N * blocks_of(job).count();
  if (sums.x) job.partials = scratch.take<float>(units * 2 * C);
  correlate(context, job);
  if (sums.x) merge_sums(context, sums, units, job.partials);
}

}  // namespace isda::kernels
