// SPDX-License-Identifier: Apache-2.0
// Focal loss on the card, in one launch: a warp scales a sample's row of the gradient; one more block adds up the samples' losses, each thread every 256th,
// then the threads in a fixed order. dlogits read and written once, by single elements: rows of 10 or 100 classes are not aligned for more.
#include "kernels/focal_loss/focal_loss.h"

#include "kernels/common/simt.cuh"

namespace isda::kernels {

namespace {

constexpr int kThreads = 256;

// The last block takes the mean, the others rows.
template <class T>
__global__ void __launch_bounds__(kThreads) focal_loss_kernel(std::int64_t samples, int classes, float gamma, const float* losses, float* loss, T* dlogits) {
  SIMT_SHARED(partial, float[kThreads / kWarp]);
  if (blockIdx.x == gridDim.x - 1) {
    float sum = 0;
    for (std::int64_t n = threadIdx.x; n < samples; n += kThreads) sum += focus_of(losses[n], gamma).weight * losses[n];
    sum = block_sum(sum, partial);
    if (threadIdx.x == 0) *loss = sum / static_cast<float>(samples);
    return;
  }
  const std::int64_t n = blockIdx.x * std::int64_t{kThreads / kWarp} + threadIdx.x / kWarp;
  if (n >= samples) return;
  const float gradient = focus_of(losses[n], gamma).gradient;
  for (int c = static_cast<int>(threadIdx.x) % kWarp; c < classes; c += kWarp) {
    T& element = dlogits[n * classes + c];
    element = from_float<T>(gradient * to_float(element));
  }
}

}  // namespace

void run(Cuda, const Context& context, const FocalLoss& op) {
  const auto [N, C] = op.dlogits.extents<2>();
  dispatch_cuda(op.name, op.dlogits.type(), [&, N = N, C = C]<class T>() {
    launch(context, {.name = op.name, .grid = blocks_for(N, kThreads / kWarp) + 1, .block = kThreads}, focal_loss_kernel<T>, N, static_cast<int>(C),
           static_cast<float>(op.gamma), op.losses.as<float>(), op.loss.as<float>(), elements<T>(op.dlogits));
  });
}

}  // namespace isda::kernels
