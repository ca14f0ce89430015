// SPDX-License-Identifier: Apache-2.0
// The forward convolution on the cpu: one correlation over f(x), its lattice the strided outputs (correlation.h).
//
// Weights are copied once per call to [group][panel][tap][tap][channel][lane], so that the multiply kernel reads them in order.
// Statistics: every unit leaves mean and centred squares of its own pixels; they are merged in the order of the units, in double.
#include "kernels/common/check.h"
#include "kernels/common/moments.h"
#include "kernels/common/parallel.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/conv2d/correlation.h"
#include "kernels/conv2d/winograd.h"

namespace isda::kernels {

namespace {

using namespace conv2d;

void pack_weights(const Context& context, const Conv2d& op, const Correlation& job, float* packed) {
  const auto [K, R, S, Cg] = op.weight.extents<4>();
  const std::int64_t Kg = K / op.groups, run = R * S * Cg, width = 2 * microkernels().lanes;
  const std::int64_t panels = (Kg + width - 1) / width;
  parallel_for(context, op.groups * panels, [&, taps = run, outputs = Kg, channels = Cg](std::int64_t index) {
    const std::int64_t group = index / panels, first = index % panels * width;
    const std::int64_t valid = std::min(width, outputs - first), lanes = std::min(width, padded_channels(outputs) - first);
    const float* from = op.weight.as<float>() + (group * outputs + first) * taps;
    if (job.is_winograd) {
      float* to = packed + (group * padded_channels(outputs) + first) * kWinogradPoints * channels;
      for (std::int64_t c = 0; c < channels; ++c) {
        float kernels[9 * kMostTransformLanes];
        for (std::int64_t tap = 0; tap < 9; ++tap) {
          for (std::int64_t lane = 0; lane < lanes; ++lane) kernels[tap * lanes + lane] = lane < valid ? from[lane * taps + tap * channels + c] : 0.0f;
        }
        winograd_weights(kernels, lanes, to + c * lanes, channels * lanes);
      }
      return;
    }
    float* to = packed + (group * padded_channels(outputs) + first) * taps;
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t lane = 0; lane < lanes; ++lane) to[tap * lanes + lane] = lane < valid ? from[lane * taps + tap] : 0.0f;
    }
  });
}

void merge_statistics(const Context& context, const Conv2d& op, const Blocks& blocks, const float* partials) {
  const auto [N, P, Q, K] = op.y.extents<4>();
  const auto& statistics = op.epilogue.statistics;
  parallel_ranges(context, K, 16, [&, images = N, rows = P, columns = Q, channels = K](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) {
      Moments<double> moments;
      for (std::int64_t unit = 0; unit < images * blocks.count(); ++unit) {
        const float* partial = partials + unit * 2 * channels + k;
        moments.merge({static_cast<double>(blocks.range(unit % blocks.count(), rows, columns).pixels()), partial[0], partial[channels]});
      }
      statistics.mean.as<float>()[k] = static_cast<float>(moments.mean);
      statistics.variance.as<float>()[k] = static_cast<float>(moments.variance());
    }
  });
}

}  // namespace

void run(Cpu, const Context& context, const Conv2d& op) {
  check_cpu(op.name, op.x);
  const auto [N, H, W, C] = op.x.extents<4>();
  const auto [K, R, S, Cg] = op.weight.extents<4>();
  const Axis rows = {.out_step = 1, .out_shift = 0, .source_step = op.stride, .source_shift = -op.padding, .taps = R};
  const Axis columns = {.out_step = 1, .out_shift = 0, .source_step = op.stride, .source_shift = -op.padding, .taps = S};
  Correlation job = {
      .images = N,
      .source = {.rows = H, .columns = W, .channels = C, .groups = op.groups, .load = {}},
      .out_rows = op.y.extent(1),
      .out_columns = op.y.extent(2),
      .out_channels = K,
      .row_lattices = {&rows, 1},
      .column_lattices = {&columns, 1},
      .is_winograd = winograd_suits({.taps_rows = R,
                                     .taps_columns = S,
                                     .stride = op.stride,
                                     .out_rows = op.y.extent(1),
                                     .out_columns = op.y.extent(2),
                                     .source_channels = Cg,
                                     .out_channels = K / op.groups}),
      .weights = nullptr,
      .finish = {},
      .partials = nullptr,
  };
  job.source.load.source = op.x.as<float>();
  job.source.load.scale = op.prologue.scale.as<float>();
  job.source.load.shift = op.prologue.shift.as<float>();
  job.source.load.relu = op.prologue.relu;
  job.finish.out = op.y.as<float>();
  job.finish.residual = op.epilogue.residual.as<float>();

  Scratch scratch = context.scratch();
  float* weights = scratch.take<float>(packed_weights(job));
  pack_weights(context, op, job, weights);
  job.weights = weights;
  const Blocks blocks = blocks_of(job);
  if (op.epilogue.statistics.mean) job.partials = scratch.take<float>(N * blocks.count() * 2 * K);
  correlate(context, job);
  if (op.epilogue.statistics.mean) merge_statistics(context, op, blocks, job.partials);
}

}  // namespace isda::kernels
