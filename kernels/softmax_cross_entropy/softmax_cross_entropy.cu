// SPDX-License-Identifier: Apache-2.0
// Softmax cross-entropy on the card, in two launches.
//
//   1  A team of threads takes a sample: a warp where there are at most 256 classes, else a block of 256 threads. It goes over its logits three times
//      (largest; sums; gradient), of which the second and third find them in the first-level cache: a sample is a few KiB. Leaves a loss and a hit a sample.
//   2  One block adds up losses and hits: thread i takes samples i, i + 256, ..., then the threads are added in a fixed order.
//   bytes: logits once, dlogits once. On the batches of a classifier both launches take their few microseconds, not the memory; so single elements,
//   coalesced, and no packets, which rows of 10 or 100 classes would not be aligned for.
//
// The exponentials but the largest are summed by themselves: when the network is sure of itself, loss and gradient are made of them alone, and in
// 1 + others - 1 they would drown.
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

#include <limits>

#include "kernels/common/simt.cuh"

namespace isda::kernels {

namespace {

constexpr int kThreads = 256, kMostClassesOfWarp = 256;

// combine(mine, another's) over the threads of a team, a warp or the block; every thread has the result.
template <int team, class T, class Combine>
__device__ __forceinline__ T team_reduce(T value, Combine&& combine SIMT_CALLER) {
  value = warp_reduce(value, combine SIMT_AT_CALLER);
  if constexpr (team > kWarp) {
    SIMT_SHARED(partial, T[team / kWarp]);
    __syncthreads(SIMT_CALLER_ALONE);  // nobody reads any more what was reduced before
    if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = value;
    __syncthreads(SIMT_CALLER_ALONE);
    value = partial[0];
    for (int warp = 1; warp < team / kWarp; ++warp) value = combine(value, partial[warp]);
  }
  return value;
}

template <int team, class T>
__device__ __forceinline__ T team_sum(T value SIMT_CALLER) {
  return team_reduce<team>(value, [](T a, T b) { return a + b; } SIMT_AT_CALLER);
}

struct Samples {
  std::int64_t count;
  int classes;
  float smoothing;
};

// hits, dlogits: null where not wanted
template <int team, class T>
__global__ void __launch_bounds__(kThreads)
    softmax_cross_entropy_kernel(Samples samples, const T* logits, const std::int32_t* labels, float* losses, std::int32_t* hits, T* dlogits) {
  const int lane = static_cast<int>(threadIdx.x) % team, C = samples.classes;
  const std::int64_t n = blockIdx.x * std::int64_t{kThreads / team} + static_cast<int>(threadIdx.x) / team;
  if (n >= samples.count) return;
  const T* z = logits + n * C;
  const std::int32_t label = labels[n];
  const bool has_label = label >= 0 && label < C;
  const float own = has_label ? to_float(z[label]) : std::numeric_limits<float>::quiet_NaN();

  // The largest logit, and the first place where it is.
  float top = -std::numeric_limits<float>::infinity();
  int first = C;
  for (int c = lane; c < C; c += team) {
    const float value = to_float(z[c]);
    if (value > top) {
      top = value;
      first = c;
    }
  }
  const float top_of_lane = top;
  top = team_reduce<team>(top, [](float a, float b) { return a < b ? b : a; });
  first = team_reduce<team>(top_of_lane == top ? first : C, [](int a, int b) { return a < b ? a : b; });

  // The exponentials beside the largest, the logits below it, and who is not beaten by the label's.
  float others = 0, total = 0;
  int misses = 0;
  for (int c = lane; c < C; c += team) {
    const float value = to_float(z[c]), below = value - top;
    // NOTE: the largest itself adds 0, or NaN where it is infinite; a NaN, which is never the largest, adds NaN. A comparison with NaN is a miss.
    others += expf(below) - (c == first ? 1.0f : 0.0f);
    total += below;
    misses += (c < label ? own > value : own >= value) ? 0 : 1;
  }
  others = team_sum<team>(others);
  total = team_sum<team>(total);
  misses = team_sum<team>(misses);

  // Loss and hit. NOTE: without smoothing no logit but the label's counts, were it minus infinity.
  const float smoothing = samples.smoothing;
  if (lane == 0) {
    const float mean = smoothing > 0 ? smoothing * (total / static_cast<float>(C)) : 0.0f;
    losses[n] = log1pf(others) - ((1 - smoothing) * (own - top) + mean);
    if (hits) hits[n] = misses == 0 ? 1 : 0;
  }

  // The gradient: p - (1-s) - s/C at the label, p - s/C elsewhere, over N.
  if (!dlogits) return;
  const float scale = 1 / static_cast<float>(samples.count), everywhere = scale * smoothing / static_cast<float>(C);
  const float factor = has_label ? scale / (1 + others) : own;
  for (int c = lane; c < C; c += team) {
    float gradient = expf(to_float(z[c]) - top) * factor;
    if (c == label) gradient = c == first ? smoothing * scale - others * factor : gradient - (1 - smoothing) * scale;
    dlogits[n * C + c] = from_float<T>(gradient - everywhere);
  }
}

// hits and correct: both or none
__global__ void __launch_bounds__(kThreads) mean_kernel(std::int64_t count, const float* losses, const std::int32_t* hits, float* loss, std::int32_t* correct) {
  SIMT_SHARED(partial_loss, float[kThreads / kWarp]);
  SIMT_SHARED(partial_hits, int[kThreads / kWarp]);
  float sum = 0;
  int hit = 0;
  for (std::int64_t n = threadIdx.x; n < count; n += kThreads) {
    sum += losses[n];
    if (hits) hit += hits[n];
  }
  sum = block_sum(sum, partial_loss);
  hit = block_sum(hit, partial_hits);
  if (threadIdx.x == 0) {
    *loss = sum / static_cast<float>(count);
    if (correct) *correct = hit;
  }
}

}  // namespace

void run(Cuda, const Context& context, const SoftmaxCrossEntropy& op) {
  const auto [N, C] = op.logits.extents<2>();
  const Samples samples{N, static_cast<int>(C), static_cast<float>(op.label_smoothing)};
  Scratch scratch = context.scratch();
  dispatch_cuda(op.name, op.logits.type(), [&, N = N, C = C]<class T>() {
    float* losses = op.losses ? op.losses.as<float>() : scratch.take<float>(N);
    std::int32_t* hits = op.correct ? scratch.take<std::int32_t>(N) : nullptr;
    const bool is_warp = C <= kMostClassesOfWarp;
    launch(context, {.name = op.name, .grid = is_warp ? blocks_for(N, kThreads / kWarp) : static_cast<unsigned>(N), .block = kThreads},
           is_warp ? softmax_cross_entropy_kernel<kWarp, T> : softmax_cross_entropy_kernel<kThreads, T>, samples, elements<T>(op.logits),
           op.labels.as<std::int32_t>(), losses, hits, elements<T>(op.dlogits));
    launch(context, {.name = "softmax_cross_entropy_mean", .grid = 1, .block = kThreads}, mean_kernel, N, losses, hits, op.loss.as<float>(),
           op.correct.as<std::int32_t>());
  });
}

}  // namespace isda::kernels
