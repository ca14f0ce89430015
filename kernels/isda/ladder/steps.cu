// SPDX-License-Identifier: Apache-2.0
// The steps that no level is about.
//
//   around        average over the pixels; logits F W^T + b; hits of the plain logits; loss and G of the augmented ones; dx from dF
//   per class     Q, a warp a sum over the features; augmented = logits + (ratio/2) Q[y]; IsdaBackward
#include "kernels/isda/ladder/steps.cuh"

#include <algorithm>

#include "kernels/isda/reckoning.h"
#include "kernels/linear/linear.h"
#include "kernels/pooling/pooling.h"
#include "kernels/softmax_cross_entropy/softmax_cross_entropy.h"

namespace isda::kernels::ladder {

namespace {

constexpr int kWarps = kThreads / kWarp;

// A warp a (slot,j). q (most,C)
__global__ void __launch_bounds__(kThreads)
    correction_kernel(const __grid_constant__ Membership members, Extents extents, const float* __restrict__ weight, const float* __restrict__ u, float* q) {
  const auto [N, C, A] = extents;
  const std::int64_t pair = blockIdx.x * std::int64_t{kWarps} + static_cast<int>(threadIdx.x) / kWarp;
  const int slot = static_cast<int>(pair / C), j = static_cast<int>(pair % C);
  if (slot >= *members.present) return;
  const float *own = weight + std::int64_t{members.classes[slot]} * A, *other = weight + std::int64_t{j} * A, *row = u + pair * A;
  float sum = 0;
  for (int a = static_cast<int>(threadIdx.x) % kWarp; a < A; a += kWarp) sum += row[a] * (other[a] - own[a]);
  sum = warp_sum(sum);
  if (threadIdx.x % kWarp == 0) q[pair] = sum;
}

__global__ void __launch_bounds__(kThreads)
    augment_kernel(Extents extents, const std::int32_t* __restrict__ labels, const std::int32_t* __restrict__ slots, const float* __restrict__ q,
                   const float* __restrict__ ratio, const float* __restrict__ logits, float* __restrict__ augmented) {
  const auto [N, C, A] = extents;
  const std::int64_t at = this_element();
  if (at >= std::int64_t{N} * C) return;
  const int label = labels[at / C];
  const bool is_corrected = *ratio != 0 && label >= 0 && label < C;
  augmented[at] = logits[at] + (is_corrected ? *ratio / 2 * q[std::int64_t{slots[label]} * C + at % C] : 0.0f);
}

}  // namespace

Extents extents_of(const IsdaHead& op) {
  return {.N = static_cast<int>(op.x.extent(0)), .C = static_cast<int>(op.weight.extent(0)), .A = static_cast<int>(op.weight.extent(1))};
}

Batch begin(const Context& context, Scratch& scratch, const IsdaHead& op) {
  const auto [N, C, A] = extents_of(op);
  const Batch batch{.features = make(scratch, {N, A}),
                    .logits = make(scratch, {N, C}),
                    .augmented = make(scratch, {N, C}),
                    .gradient = make(scratch, {N, C}),
                    .dfeatures = make(scratch, {N, A})};
  run(Cuda{}, context, GlobalAverage{.x = as_maps(op.x), .y = batch.features});
  run(Cuda{}, context, Linear{.x = batch.features, .weight = op.weight, .bias = op.bias, .y = batch.logits});
  return batch;
}

void take_loss(const Context& context, const IsdaHead& op, const Batch& batch) {
  Scratch scratch = context.scratch();
  run(Cuda{}, context, SoftmaxCrossEntropy{.logits = batch.logits, .labels = op.labels, .loss = make(scratch, {1}), .correct = op.correct});
  run(Cuda{}, context, SoftmaxCrossEntropy{.logits = batch.augmented, .labels = op.labels, .loss = op.loss, .dlogits = batch.gradient});
}

void spread(const Context& context, const IsdaHead& op, const Batch& batch) {
  run(Cuda{}, context, GlobalAverageBackward{.dy = batch.dfeatures, .dx = as_maps(op.dx)});
}

void run_per_class(const Context& context, const IsdaHead& op, UpdateAndMultiply update_and_multiply) {
  const Extents extents = extents_of(op);
  const std::int64_t N = extents.N, C = extents.C, A = extents.A, most = std::min(N, C);
  Scratch scratch = context.scratch();
  const Batch batch = begin(context, scratch, op);
  auto* slots = scratch.take<std::int32_t>(C);
  const Membership members = membership_of(context, scratch, op.labels, C, slots);
  const View u = make(scratch, {most, C, A}), q = make(scratch, {most, C});

  update_and_multiply(context, scratch, {.op = op, .features = batch.features, .members = members, .u = u});

  launch(context, LaunchShape{.name = "ladder_correction", .grid = blocks_for(most * C, kWarps), .block = kThreads}, correction_kernel, members, extents,
         op.weight.as<float>(), u.as<float>(), q.as<float>());
  launch_elements(context, "ladder_augment", N * C, augment_kernel, extents, op.labels.as<std::int32_t>(), slots, q.as<float>(), op.ratio.as<float>(),
                  batch.logits.as<float>(), batch.augmented.as<float>());
  take_loss(context, op, batch);
  run(Cuda{}, context,
      IsdaBackward{.daugmented = batch.gradient,
                   .features = batch.features,
                   .labels = op.labels,
                   .weight = op.weight,
                   .covariance = op.covariance,
                   .slots = View(slots, DType::i32, {C}),
                   .u = u,
                   .ratio = op.ratio,
                   .dfeatures = batch.dfeatures,
                   .dweight = op.dweight,
                   .dbias = op.dbias});
  spread(context, op, batch);
}

Sizes::Sizes(const IsdaHead& op)
    : N(static_cast<double>(op.x.extent(0))),
      C(static_cast<double>(op.weight.extent(0))),
      A(static_cast<double>(op.weight.extent(1))),
      K(expected_present(N, C)),
      maps(static_cast<double>(op.x.bytes())),
      elements(static_cast<double>(op.x.size())) {}

// Of each array how often it is written and read, 4 bytes an element:
//   maps 1 and their gradients 1   features 1 + 2 and their gradients 1 + 1   W 2, dW 1   logits 1 + 2, augmented 1 + 1, G 1 + 3
Cost cost_around(const Sizes& of) {
  const auto [N, C, A, K, maps, elements] = of;
  return {.flop = 2 * elements + 10 * N * C + 6 * N * C * A, .bytes = 2 * maps + 4 * (5 * N * A + 3 * C * A + 9 * N * C)};
}

//   U 1 + 2
Cost cost_per_class(const Sizes& of) {
  const auto [N, C, A, K, maps, elements] = of;
  return cost_around(of) + Cost{.flop = 7 * K * C * A, .bytes = 4 * 3 * K * C * A};
}

}  // namespace isda::kernels::ladder
