// SPDX-License-Identifier: Apache-2.0
// The softmax of one sample by one warp: loss, misses, and the gradients in the place of the logits.
// Formulas and care as in kernels/softmax_cross_entropy: the exponentials but the largest are summed by themselves.
#pragma once
#include <limits>

#include "kernels/common/simt.cuh"

namespace isda::kernels {

struct Outcome {
  float loss;
  int misses;
};
// logits: the plain ones of a sample of class c; correction: what is added to them. scale: one over the number of samples. The whole warp comes here.
__device__ __forceinline__ Outcome take_sample(float* logits, const float* correction, int c, int C, float scale) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const float own = logits[c];
  // NOTE: the label's own logit has no correction.
  float top = -std::numeric_limits<float>::infinity();
  int first = C;
  for (int j = lane; j < C; j += kWarp) {
    const float value = logits[j] + correction[j];
    if (value > top) {
      top = value;
      first = j;
    }
  }
  const float top_of_lane = top;
  top = warp_max(top);
  first = warp_reduce(top_of_lane == top ? first : C, [](int a, int b) { return a < b ? a : b; });
  // NOTE: the largest itself adds 0, or NaN where it is infinite; a NaN, which is never the largest, adds NaN. A comparison with NaN is a miss.
  float others = 0;
  int misses = 0;
  for (int j = lane; j < C; j += kWarp) {
    const float plain = logits[j];
    others += expf(plain + correction[j] - top) - (j == first ? 1.0f : 0.0f);
    misses += (j < c ? own > plain : own >= plain) ? 0 : 1;
  }
  others = warp_sum(others);
  misses = static_cast<int>(__reduce_add_sync(kAllLanes, static_cast<unsigned>(misses)));
  // NOTE: nobody writes the label's logit before all have read it.
  const float corrected_own = own + correction[c], factor = scale / (1 + others);
  __syncwarp();
  for (int j = lane; j < C; j += kWarp) {
    float gradient = expf(logits[j] + correction[j] - top) * factor;
    if (j == c) gradient = c == first ? -others * factor : gradient - scale;
    logits[j] = gradient;
  }
  return {log1pf(others) - (corrected_own - top), misses};
}

}  // namespace isda::kernels
