// SPDX-License-Identifier: Apache-2.0
// One sample at a time: its exponentials are computed once, kept, and scaled to probabilities. The mean is taken over the samples in order.
#include <algorithm>
#include <cmath>

#include "kernels/common/check.h"
#include "kernels/common/parallel.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace isda::kernels {

namespace {

// What one sample gives.
struct Sample {
  float loss;
  bool is_hit;
};

// Loss and hit of one sample of C logits z; its probabilities minus targets, times `scale`, go to gradient.
Sample sample_of(const float* z, std::int64_t C, std::int64_t label, float smoothing, float scale, float* gradient) {
  const float largest = *std::max_element(z, z + C);
  float sum = 0;
  for (std::int64_t c = 0; c < C; ++c) {
    gradient[c] = std::exp(z[c] - largest);
    sum += gradient[c];
  }

  // The loss: log sum exp minus the mean logit under the target.
  float target_logit = (1 - smoothing) * (z[label] - largest);
  if (smoothing > 0) {
    float total = 0;
    for (std::int64_t c = 0; c < C; ++c) total += z[c] - largest;
    target_logit += smoothing / static_cast<float>(C) * total;
  }
  // NOTE: a sum that is NaN has a NaN logit in it, and there is no hit.
  const bool is_hit = std::find_if(z, z + C, [&](float other) { return !(z[label] > other); }) == z + label &&
                      std::all_of(z + label, z + C, [&](float other) { return z[label] >= other; });

  // The gradient.
  const float factor = scale / sum, everywhere = scale * smoothing / static_cast<float>(C);
  for (std::int64_t c = 0; c < C; ++c) gradient[c] = gradient[c] * factor - everywhere;
  gradient[label] -= scale * (1 - smoothing);
  return {std::log(sum) - target_logit, is_hit};
}

}  // namespace

void run(Cpu, const Context& context, const SoftmaxCrossEntropy& op) {
  check_cpu(op.name, op.logits);
  const auto [N, C] = op.logits.extents<2>();
  check_labels(op.name, op.labels, C);
  const float* logits = op.logits.as<float>();
  const auto* labels = op.labels.as<std::int32_t>();
  const auto smoothing = static_cast<float>(op.label_smoothing);
  Scratch scratch = context.scratch();
  float* gradient = op.dlogits ? op.dlogits.as<float>() : scratch.take<float>(N * C);
  auto* samples = scratch.take<Sample>(N);

  constexpr double kFlopPerLogit = 30;
  parallel_ranges(context, N, grain_of(context, N, kFlopPerLogit * static_cast<double>(N * C)), [=, N = N, C = C](std::int64_t begin, std::int64_t end) {
    const float scale = 1.0f / static_cast<float>(N);
    for (std::int64_t n = begin; n < end; ++n) samples[n] = sample_of(logits + n * C, C, labels[n], smoothing, scale, gradient + n * C);
  });

  double total = 0;
  std::int32_t hits = 0;
  for (std::int64_t n = 0; n < N; ++n) {
    total += static_cast<double>(samples[n].loss);
    hits += samples[n].is_hit ? 1 : 0;
    if (op.losses) op.losses.as<float>()[n] = samples[n].loss;
  }
  *op.loss.as<float>() = static_cast<float>(total / static_cast<double>(N));
  if (op.correct) *op.correct.as<std::int32_t>() = hits;
}

}  // namespace isda::kernels
