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
  // NOTE: the exponentials but the largest are summed by themselves: when the network is sure of itself, loss and gradient are made of
  // them alone, and in 1 + others - 1 they would drown.
  const float* top = std::max_element(z, z + C);
  float others = 0;
  for (std::int64_t c = 0; c < C; ++c) gradient[c] = std::exp(z[c] - *top);
  const float one = gradient[top - z];  // or NaN
  gradient[top - z] = one - 1;
  for (std::int64_t c = 0; c < C; ++c) others += gradient[c];
  gradient[top - z] = one;

  // The loss: log sum exp minus the mean logit under the target.
  float target_logit = (1 - smoothing) * (z[label] - *top);
  if (smoothing > 0) {
    float total = 0;
    for (std::int64_t c = 0; c < C; ++c) total += z[c] - *top;
    target_logit += smoothing / static_cast<float>(C) * total;
  }
  // NOTE: each comparison is false where a logit is NaN.
  const bool is_hit = std::find_if(z, z + C, [&](float other) { return !(z[label] > other); }) == z + label &&
                      std::all_of(z + label, z + C, [&](float other) { return z[label] >= other; });

  // The gradient: p - (1-s) - s/C at the label, p - s/C elsewhere.
  const float factor = scale / (1 + others), everywhere = scale * smoothing / static_cast<float>(C);
  const float of_label = z + label == top ? smoothing * scale - others * factor : gradient[label] * factor - (1 - smoothing) * scale;
  for (std::int64_t c = 0; c < C; ++c) gradient[c] = gradient[c] * factor - everywhere;
  gradient[label] = of_label - everywhere;
  return {std::log1p(others) - target_logit, is_hit};
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
