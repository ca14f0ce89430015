// SPDX-License-Identifier: Apache-2.0
// Batch normalisation: the passes that write an array, and what is done once a channel. The sums over rows are in reductions.cu.
//
//   normalise       x and residual read, y written once
//   differentiate   dy, x and y or an addend read, dx and dresidual written once
//   Blocks take slices of rows, a thread keeps a packet of channels and folds what belongs to them into two to four coefficients in registers, then walks
//   down the rows, 16 bytes of each array at a time (kernels/common/channels.cuh). 256 threads a block, at most 396 blocks, all of which an H200 runs at
//   once; bound by memory: 5 to 10 instructions an element, against the 4 to 20 bytes it moves.
//
// The difference x - mean is taken first, so that a mean that is large against the deviation costs no digits.
// NOTE: y may be x or residual, dx and dresidual may be dy: so no __restrict__, and a row is read whole before any of it is written.
#include <limits>

#include "kernels/batch_norm/batch_norm.h"
#include "kernels/common/channels.cuh"

namespace isda::kernels {

namespace {

constexpr unsigned kThreads = ChannelGrid::kThreads;

// The running statistics; null where there are none.
struct Running {
  float *mean, *variance;
  double momentum, unbias;  // unbias: M / (M - 1); 0 where the variance is to keep its value

  __device__ __forceinline__ void follow(std::int64_t channel, float batch_mean, float batch_variance) const {
    mean[channel] = static_cast<float>((1 - momentum) * mean[channel] + momentum * batch_mean);
    if (unbias != 0) variance[channel] = static_cast<float>((1 - momentum) * variance[channel] + momentum * (batch_variance * unbias));
  }
};

Running running_of(const RunningStatistics& running, std::int64_t count) {
  return {.mean = running.mean.as<float>(),
          .variance = running.variance.as<float>(),
          .momentum = running.momentum,
          .unbias = count > 1 ? static_cast<double>(count) / static_cast<double>(count - 1) : 0};
}

// ---- the arrays ----

// What a normalisation takes of a channel, and what follows.
struct Channels {
  const float *mean, *variance, *weight, *bias;
  Running running;
};

template <bool has_residual, int width, class T>
__global__ void __launch_bounds__(kThreads, 3)
    normalise_kernel(ChannelGrid grid, const T* x, const __grid_constant__ Channels channels, const T* residual, float epsilon, float lowest, T* y) {
  constexpr int batch = kRowBatch<T, width>;
  const ChannelPlace place = channel_place<width>(grid);
  if (!place.is_used) return;
  // Fold what belongs to this thread's channels.
  float means[width], scale[width], biases[width], variances[width];
  load_channels(channels.mean + place.channel, means);
  load_channels(channels.variance + place.channel, variances);
  load_channels(channels.weight + place.channel, scale);
  load_channels(channels.bias + place.channel, biases);
  if (channels.running.mean && blockIdx.x == 0 && place.line == 0) {
#pragma unroll
    for (int c = 0; c < width; ++c) channels.running.follow(place.channel + c, means[c], variances[c]);
  }
#pragma unroll
  for (int c = 0; c < width; ++c) scale[c] *= rsqrtf(variances[c] + epsilon);
  // y = (x - mean) * scale + bias [+ residual], below `lowest` made `lowest`.
  const std::int64_t step = row_step(grid);
  for_row_batches<batch>(grid, place, [&](std::int64_t offset, auto count) {
    Packed<T, width> rows[batch] = {};
    [[maybe_unused]] Packed<T, width> rows_residual[batch] = {};
    load_rows(x + offset, step, count, rows);
    if constexpr (has_residual) load_rows(residual + offset, step, count, rows_residual);
#pragma unroll
    for (int row = 0; row < batch; ++row) {
      if (row < count) {
        float values[width];
        [[maybe_unused]] float residuals[width];
        unpack(rows[row], values);
        if constexpr (has_residual) unpack(rows_residual[row], residuals);
#pragma unroll
        for (int c = 0; c < width; ++c) {
          values[c] = (values[c] - means[c]) * scale[c] + biases[c];
          if constexpr (has_residual) values[c] += residuals[c];
          values[c] = values[c] < lowest ? lowest : values[c];
        }
        store_packed(y + offset + row * step, values);
      }
    }
  });
}

// What the gradient takes of a channel, and gives.
struct ChannelGradients {
  const float *mean, *variance, *weight, *sum_dz, *sum_dz_x;
  float *dweight, *dbias;  // null where not wanted
};

// A third array, beside dy and x.
enum class Third { none, mask, addend };

template <Third kind, int width, class T>
__global__ void __launch_bounds__(kThreads, 3)
    differentiate_kernel(ChannelGrid grid, const T* dy, const T* x, const T* third, ChannelGradients channels, float epsilon, T* dx, T* dresidual) {
  constexpr int batch = kRowBatch<T, width> / 2;
  const ChannelPlace place = channel_place<width>(grid);
  if (!place.is_used) return;
  // Fold what belongs to this thread's channels: dx = scale * (dz - through_mean - (x - mean) * through_variance).
  float means[width], scale[width], through_mean[width], through_variance[width], deviations[width];
  load_channels(channels.mean + place.channel, means);
  load_channels(channels.variance + place.channel, deviations);
  load_channels(channels.weight + place.channel, scale);
  load_channels(channels.sum_dz + place.channel, through_mean);
  load_channels(channels.sum_dz_x + place.channel, through_variance);
  const bool is_first = blockIdx.x == 0 && place.line == 0;
  const float share = 1 / static_cast<float>(grid.rows);
#pragma unroll
  for (int c = 0; c < width; ++c) {
    const float inverse = rsqrtf(deviations[c] + epsilon);
    if (is_first && channels.dweight) channels.dweight[place.channel + c] = through_variance[c] * inverse;
    if (is_first && channels.dbias) channels.dbias[place.channel + c] = through_mean[c];
    scale[c] *= inverse;
    through_mean[c] *= share;
    through_variance[c] *= inverse * inverse * share;
  }
  const std::int64_t step = row_step(grid);
  for_row_batches<batch>(grid, place, [&](std::int64_t offset, auto count) {
    Packed<T, width> rows_dy[batch] = {}, rows_x[batch] = {};
    [[maybe_unused]] Packed<T, width> rows_third[batch] = {};
    load_rows(dy + offset, step, count, rows_dy);
    load_rows(x + offset, step, count, rows_x);
    if constexpr (kind != Third::none) load_rows(third + offset, step, count, rows_third);
#pragma unroll
    for (int row = 0; row < batch; ++row) {
      if (row < count) {
        float dz[width], values[width];
        [[maybe_unused]] float thirds[width];
        unpack(rows_dy[row], dz);
        unpack(rows_x[row], values);
        if constexpr (kind != Third::none) unpack(rows_third[row], thirds);
#pragma unroll
        for (int c = 0; c < width; ++c) {
          if constexpr (kind == Third::mask) dz[c] = thirds[c] > 0 ? dz[c] : 0.0f;
          values[c] = scale[c] * (dz[c] - through_mean[c] - (values[c] - means[c]) * through_variance[c]);
          if constexpr (kind == Third::addend) values[c] += thirds[c];
        }
        store_packed(dx + offset + row * step, values);
        if (dresidual) store_packed(dresidual + offset + row * step, dz);
      }
    }
  });
}

// ---- the channels ----

__global__ void __launch_bounds__(kThreads) affine_kernel(std::int64_t channels, const float* mean, const float* variance, const float* weight,
                                                          const float* bias, double epsilon, float* scale, float* shift, Running running) {
  const std::int64_t channel = blockIdx.x * std::int64_t{kThreads} + threadIdx.x;
  if (channel >= channels) return;
  const double factor = weight[channel] / sqrt(variance[channel] + epsilon);
  scale[channel] = static_cast<float>(factor);
  shift[channel] = static_cast<float>(bias[channel] - mean[channel] * factor);
  if (running.mean) running.follow(channel, mean[channel], variance[channel]);
}

// The statistics and parameters beside f32 and bf16 activations.
void check_parameters(const char* name, const ConstView& mean) {
  require(mean.type() == DType::f32, "[{}] the cuda device has parameters in f32, got {}; use --device reference for f64", name, name_of(mean.type()));
}

}  // namespace

void run(Cuda, const Context& context, const BatchNormAffine& op) {
  check_parameters(op.name, op.mean);
  launch(context, LaunchShape{.name = op.name, .grid = blocks_for(op.mean.size(), kThreads), .block = kThreads}, affine_kernel, op.mean.size(),
         op.mean.as<float>(), op.variance.as<float>(), op.weight.as<float>(), op.bias.as<float>(), op.epsilon, op.scale.as<float>(), op.shift.as<float>(),
         running_of(op.running, op.count));
}

void run(Cuda, const Context& context, const BatchNorm& op) {
  const std::int64_t C = op.x.extent(-1), M = op.x.size() / C;
  const float lowest = op.relu ? 0.0f : -std::numeric_limits<float>::infinity();
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    dispatch_width<T>(C, are_aligned({op.x, op.mean, op.variance, op.weight, op.bias, op.residual, op.y}), [&]<int width>() {
      const ChannelGrid grid = channel_grid(1, M, C, width, kRowBatch<T, width>);
      const auto kernel = op.residual ? normalise_kernel<true, width, T> : normalise_kernel<false, width, T>;
      const Channels channels{.mean = op.mean.as<float>(),
                              .variance = op.variance.as<float>(),
                              .weight = op.weight.as<float>(),
                              .bias = op.bias.as<float>(),
                              .running = running_of(op.running, M)};
      launch(context, {.name = op.name, .grid = grid.extents(), .block = kThreads}, kernel, grid, elements<T>(op.x), channels, elements<T>(op.residual),
             static_cast<float>(op.epsilon), lowest, elements<T>(op.y));
    });
  });
}

void run(Cuda, const Context& context, const BatchNormBackward& op) {
  const std::int64_t C = op.x.extent(-1), M = op.x.size() / C;
  dispatch_cuda(op.name, op.x.type(), [&]<class T>() {
    const bool is_aligned = are_aligned({op.dy, op.x, op.y, op.mean, op.variance, op.weight, op.sum_dz, op.sum_dz_x, op.addend, op.dx, op.dresidual});
    dispatch_width<T>(C, is_aligned, [&]<int width>() {
      const ChannelGrid grid = channel_grid(1, M, C, width, kRowBatch<T, width> / 2);
      const ChannelGradients channels{.mean = op.mean.as<float>(),
                                      .variance = op.variance.as<float>(),
                                      .weight = op.weight.as<float>(),
                                      .sum_dz = op.sum_dz.as<float>(),
                                      .sum_dz_x = op.sum_dz_x.as<float>(),
                                      .dweight = op.dweight.as<float>(),
                                      .dbias = op.dbias.as<float>()};
      const auto kernel = op.y        ? differentiate_kernel<Third::mask, width, T>
                          : op.addend ? differentiate_kernel<Third::addend, width, T>
                                      : differentiate_kernel<Third::none, width, T>;
      launch(context, {.name = op.name, .grid = grid.extents(), .block = kThreads}, kernel, grid, elements<T>(op.dy), elements<T>(op.x),
             elements<T>(op.y ? op.y : op.addend), channels, static_cast<float>(op.epsilon), elements<T>(op.dx), elements<T>(op.dresidual));
    });
  });
}

}  // namespace isda::kernels
