// SPDX-License-Identifier: Apache-2.0
// Center loss on the card, in two launches, the second of which writes what the first reads. Single elements, coalesced: a batch of features is small.
//
//   1  a warp takes a sample: its differences to its center, dx, and the sum of their squares
//   2  a block a class walks over the samples of its class in order and moves its center; one more block adds up the samples' losses in a fixed order
#include <limits>

#include "kernels/center_loss/center_loss.h"
#include "kernels/common/simt.cuh"

namespace isda::kernels {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;

struct Batch {
  std::int64_t samples, width;
  int classes;
};

__global__ void __launch_bounds__(kThreads)
    center_loss_kernel(Batch batch, float factor, const float* features, const std::int32_t* labels, const float* centers, float* dfeatures, float* squares) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t n = blockIdx.x * std::int64_t{kWarps} + threadIdx.x / kWarp, A = batch.width;
  if (n >= batch.samples) return;
  const std::int32_t y = labels[n];
  const bool has_label = y >= 0 && y < batch.classes;
  float sum = 0;
  for (std::int64_t a = lane; a < A; a += kWarp) {
    const float difference = has_label ? features[n * A + a] - centers[y * A + a] : std::numeric_limits<float>::quiet_NaN();
    sum += difference * difference;
    dfeatures[n * A + a] = factor * difference;
  }
  sum = warp_sum(sum);
  if (lane == 0) squares[n] = sum;
}

// The last block takes the loss, the others a class each.
__global__ void __launch_bounds__(kThreads) center_update_kernel(Batch batch, float half_weight, float rate, const float* features, const std::int32_t* labels,
                                                                 const float* squares, float* centers, float* loss) {
  SIMT_SHARED(partial, float[kWarps]);
  const std::int64_t A = batch.width;
  const int c = static_cast<int>(blockIdx.x);
  if (c == batch.classes) {
    float sum = 0;
    for (std::int64_t n = threadIdx.x; n < batch.samples; n += kThreads) sum += squares[n];
    sum = block_sum(sum, partial);
    if (threadIdx.x == 0) *loss = half_weight * (sum / static_cast<float>(batch.samples));
    return;
  }
  for (std::int64_t a = threadIdx.x; a < A; a += kThreads) {
    const float center = centers[c * A + a];
    float sum = 0, count = 0;
    for (std::int64_t n = 0; n < batch.samples; ++n) {
      if (labels[n] != c) continue;
      sum += features[n * A + a] - center;
      count += 1;
    }
    if (count > 0) centers[c * A + a] = center + rate / (1 + count) * sum;
  }
}

}  // namespace

void run(Cuda, const Context& context, const CenterLoss& op) {
  const Batch batch{op.features.extent(0), op.features.extent(1), static_cast<int>(op.centers.extent(0))};
  const auto* features = op.features.as<float>();
  const auto* labels = op.labels.as<std::int32_t>();
  Scratch scratch = context.scratch();
  float* squares = scratch.take<float>(batch.samples);
  const LaunchShape samples{.name = op.name, .grid = blocks_for(batch.samples, kWarps), .block = kThreads};
  launch(context, samples, center_loss_kernel, batch, static_cast<float>(op.weight / static_cast<double>(batch.samples)), features, labels,
         op.centers.as<float>(), op.dfeatures.as<float>(), squares);
  const LaunchShape classes{.name = "center_update", .grid = static_cast<unsigned>(batch.classes) + 1, .block = kThreads};
  launch(context, classes, center_update_kernel, batch, static_cast<float>(op.weight / 2), static_cast<float>(op.rate), features, labels, squares,
         op.centers.as<float>(), op.loss.as<float>());
}

}  // namespace isda::kernels
