// SPDX-License-Identifier: Apache-2.0
// Large-margin softmax on the card: single elements, coalesced: a batch of features is some hundred KiB, and each launch a few microseconds.
//
//   forward    a warp takes a sample: the three sums over its features, then its row of logits
//   backward   one launch: blocks of 8 warps, a sample each, write dfeatures; then a block a class walks over the samples of its class in order and writes
//              its row of dweight: no atomics. Labels are compared N times by each of C blocks: from the first-level cache.
#include "kernels/common/simt.cuh"
#include "kernels/large_margin/large_margin.h"

namespace isda::kernels {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;

struct Batch {
  std::int64_t samples, width;
  int classes, margin;
};

__global__ void __launch_bounds__(kThreads) large_margin_kernel(Batch batch, const float* features, const float* weight, const float* logits,
                                                                const std::int32_t* labels, const float* lambda, float* margin_logits, float* coefficients) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const std::int64_t n = blockIdx.x * std::int64_t{kWarps} + threadIdx.x / kWarp, A = batch.width;
  if (n >= batch.samples) return;
  const std::int32_t y = labels[n];
  // NOTE: a label that is none lowers nothing: the loss behind treats it as a NaN.
  const bool has_label = y >= 0 && y < batch.classes;
  float dot = 0, squares_w = 0, squares_x = 0;
  for (std::int64_t a = lane; a < A && has_label; a += kWarp) {
    const float x = features[n * A + a], w = weight[y * A + a];
    dot += w * x;
    squares_w += w * w;
    squares_x += x * x;
  }
  dot = warp_sum(dot);
  squares_w = warp_sum(squares_w);
  squares_x = warp_sum(squares_x);
  const auto [lowered_by, p, q_x, q_w] = margin_of(batch.margin, __ldg(lambda), dot, sqrtf(squares_w), sqrtf(squares_x));
  for (int c = lane; c < batch.classes; c += kWarp) margin_logits[n * batch.classes + c] = logits[n * batch.classes + c] - (c == y ? lowered_by : 0.0f);
  if (lane < 3) coefficients[n * 3 + lane] = lane == 0 ? p : lane == 1 ? q_x : q_w;
}

__global__ void __launch_bounds__(kThreads)
    large_margin_backward_kernel(Batch batch, const float* dlogits, const float* features, const float* weight, const std::int32_t* labels,
                                 const float* coefficients, float* dfeatures, float* dweight) {
  const std::int64_t A = batch.width;
  const int C = batch.classes, c = static_cast<int>(blockIdx.x) - static_cast<int>(gridDim.x - static_cast<unsigned>(C));
  if (c < 0) {
    // A sample's features.
    const std::int64_t n = blockIdx.x * std::int64_t{kWarps} + threadIdx.x / kWarp;
    if (n >= batch.samples) return;
    const std::int32_t y = labels[n];
    const bool has_label = y >= 0 && y < C;
    const float g = has_label ? dlogits[n * C + y] : 0.0f, p = g * coefficients[n * 3], q_x = g * coefficients[n * 3 + 1];
    for (std::int64_t a = static_cast<int>(threadIdx.x) % kWarp; a < A; a += kWarp)
      dfeatures[n * A + a] = has_label ? p * weight[y * A + a] + q_x * features[n * A + a] : 0.0f;
    return;
  }
  // A class's weights.
  for (std::int64_t a = threadIdx.x; a < A; a += kThreads) {
    const float w = weight[c * A + a];
    float sum = 0;
    for (std::int64_t n = 0; n < batch.samples; ++n) {
      if (labels[n] != c) continue;
      const float g = dlogits[n * C + c];
      sum += g * coefficients[n * 3] * features[n * A + a] + g * coefficients[n * 3 + 2] * w;
    }
    dweight[c * A + a] = sum;
  }
}

Batch batch_of(const ConstView& features, const ConstView& logits, int margin) {
  return {features.extent(0), features.extent(1), static_cast<int>(logits.extent(1)), margin};
}

}  // namespace

void run(Cuda, const Context& context, const LargeMargin& op) {
  const LaunchShape shape{.name = op.name, .grid = blocks_for(op.features.extent(0), kWarps), .block = kThreads};
  launch(context, shape, large_margin_kernel, batch_of(op.features, op.logits, op.margin), op.features.as<float>(), op.weight.as<float>(),
         op.logits.as<float>(), op.labels.as<std::int32_t>(), op.lambda.as<float>(), op.margin_logits.as<float>(), op.coefficients.as<float>());
}

void run(Cuda, const Context& context, const LargeMarginBackward& op) {
  const Batch batch = batch_of(op.features, op.dlogits, 1);
  const LaunchShape shape{.name = op.name, .grid = blocks_for(batch.samples, kWarps) + static_cast<unsigned>(batch.classes), .block = kThreads};
  launch(context, shape, large_margin_backward_kernel, batch, op.dlogits.as<float>(), op.features.as<float>(), op.weight.as<float>(),
         op.labels.as<std::int32_t>(), op.coefficients.as<float>(), op.dfeatures.as<float>(), op.dweight.as<float>());
}

}  // namespace isda::kernels
