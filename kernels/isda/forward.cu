// SPDX-License-Identifier: Apache-2.0
// IsdaForward and IsdaUpdateForward on the card.
//
//   membership   the batch sorted by class (membership.cuh): the slots, and which classes need a Q
//   fold         with an update: means, and the terms of the covariances (statistics.cuh); diagonal: these are added, too
//   linear       logits = F W^T + b (kernels/linear)
//   correction   Q and U (correction.cuh); full: on the way through S_c its terms are added; low rank: before, in a launch of their own
//   augment      augmented = logits + (ratio/2) Q[y], where Q is the sum over its parts, in order
#include <limits>

#include "kernels/isda/convert.cuh"
#include "kernels/isda/correction.cuh"
#include "kernels/isda/isda.h"
#include "kernels/linear/linear.h"

namespace isda::kernels {

namespace {

constexpr int kThreads = 128;

// Blocks: samples by classes; a thread an element. NOTE: a label outside [0,C), which nobody on the card can refuse, makes the sample's logits NaN.
__global__ void __launch_bounds__(kThreads)
    augment_kernel(const std::int32_t* __restrict__ labels, const int* __restrict__ slots, int C, const float* __restrict__ logits,
                   const __grid_constant__ CorrectionTable table, const float* __restrict__ ratio, float* __restrict__ augmented) {
  const int j = static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x), label = labels[blockIdx.x];
  if (j >= C) return;
  const std::int64_t at = std::int64_t{blockIdx.x} * C + j;
  float value = logits[at];
  if (label < 0 || label >= C) {
    value = std::numeric_limits<float>::quiet_NaN();
  } else if (*ratio != 0) {
    const float* part = table.q + std::int64_t{slots[label]} * table.parts * C + j;
    float sum = part[0];
    for (int p = 1; p < table.parts; ++p) sum += part[std::int64_t{p} * C];
    value += *ratio / 2 * sum;
  }
  augmented[at] = value;
}

void run_forward(const Context& context, Scratch& scratch, const IsdaForward& op, const Correction& correction) {
  const auto [N, C] = op.logits.extents<2>();
  const ConstView features = as_f32(context, scratch, op.name, op.features);
  run(Cuda{}, context, Linear{.x = features, .weight = op.weight, .bias = op.bias, .y = op.logits});
  const CorrectionTable table = correction_of(context, scratch, correction);
  launch(context, LaunchShape{.name = op.name, .grid = dim3(static_cast<unsigned>(N), blocks_for(C, kThreads)), .block = kThreads}, augment_kernel,
         op.labels.as<std::int32_t>(), op.slots.as<std::int32_t>(), static_cast<int>(C), op.logits.as<float>(), table, op.ratio.as<float>(),
         op.augmented_logits.as<float>());
}

}  // namespace

void run(Cuda, const Context& context, const IsdaForward& op) {
  Scratch scratch = context.scratch();
  // NOTE: without terms the covariance is only read.
  const View covariance(const_cast<void*>(op.covariance.data()), op.covariance.type(), op.covariance.shape());
  const Membership members = membership_of(context, scratch, op.labels, op.weight.extent(0), op.slots.as<std::int32_t>());
  run_forward(context, scratch, op, {.members = members, .weight = op.weight, .covariance = covariance, .u = op.u});
}

void run(Cuda, const Context& context, const IsdaUpdateForward& op) {
  Scratch scratch = context.scratch();
  const Membership members = membership_of(context, scratch, op.labels, op.weight.extent(0), op.slots.as<std::int32_t>());
  const CovarianceTerms terms = fold_on_card(context, scratch, op.name, members, op.features, op.count, op.mean);
  Correction correction{.members = members, .weight = op.weight, .covariance = op.covariance, .u = op.u};
  if (is_diagonal(op.covariance)) {
    add_terms_on_card(context, members, terms, op.covariance, op.count);
  } else {
    correction.terms = terms;
    correction.count = op.count;
  }
  run_forward(context, scratch, forward_of(op), correction);
}

}  // namespace isda::kernels
