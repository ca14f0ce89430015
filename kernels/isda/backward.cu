// SPDX-License-Identifier: Apache-2.0
// IsdaBackward: the plain gradients are a linear layer's; then dW receives the correction's.
//
//   linear       dF = G W, dW = G^T F, db = sum_i G[i] (kernels/linear)
//   membership   the batch sorted by class (membership.cuh)
//   gather       g[c,j] = ratio * sum over the samples of c of G[i,j], in order; a thread an element
//   correction   dW[j] += sum_c g[c,j] U_c[j], dW[c] -= sum_j g[c,j] U_c[j] (weight_correction.cuh)
//
//   low rank: low_rank_weight.cu
//
//   bytes  full: U once; diagonal: weight and s a few times
//   FLOP   4 N C A + 4 K C A, the second half bound by memory; diagonal 7 K C A
#include <limits>

#include "kernels/isda/convert.cuh"
#include "kernels/isda/isda.h"
#include "kernels/isda/low_rank.cuh"
#include "kernels/isda/weight_correction.cuh"
#include "kernels/linear/linear.h"

namespace isda::kernels {

namespace {

constexpr int kThreads = 256;

// Blocks: slots by classes j. NOTE: nobody on the card can refuse the slots of another batch; they make dW NaN.
__global__ void __launch_bounds__(kThreads) gather_kernel(const __grid_constant__ WeightCorrection op, const float* __restrict__ daugmented, float* g) {
  const int slot = static_cast<int>(blockIdx.x), j = static_cast<int>(blockIdx.y) * kThreads + static_cast<int>(threadIdx.x);
  if (*op.ratio == 0 || slot >= *op.members.present || j >= op.C) return;
  const int m = op.members.count(slot);
  const int* samples = op.members.samples + op.members.begin[slot];
  float sum = 0;
  for (int k = 0; k < m; ++k) sum += daugmented[std::int64_t{samples[k]} * op.C + j];
  const bool are_slots_of_batch = op.slots[op.members.classes[slot]] == slot;
  g[std::int64_t{slot} * op.C + j] = are_slots_of_batch ? *op.ratio * sum : std::numeric_limits<float>::quiet_NaN();
}

}  // namespace

void run(Cuda, const Context& context, const IsdaBackward& op) {
  const auto [N, A] = op.features.extents<2>();
  const std::int64_t C = op.weight.extent(0);
  Scratch scratch = context.scratch();
  // The plain gradients.
  dispatch_cuda(op.name, op.features.type(), [&, N = N, A = A]<class T>() {
    LinearBackward linear{.dy = op.daugmented,
                          .x = as_f32(context, scratch, op.name, op.features),
                          .weight = op.weight,
                          .dx = op.dfeatures,
                          .dweight = op.dweight,
                          .dbias = op.dbias};
    if constexpr (std::is_same_v<T, float>) {
      run(Cuda{}, context, linear);
    } else {
      float* dfeatures = scratch.take<float>(N * A);
      linear.dx = View(dfeatures, DType::f32, {N, A});
      run(Cuda{}, context, linear);
      convert_elements(context, dfeatures, elements<T>(op.dfeatures), N * A);
    }
  });
  // The correction.
  const Membership members = membership_of(context, scratch, op.labels, C, nullptr);
  float* g = scratch.take<float>(members.most * C);
  const WeightCorrection correction{.members = members,
                                    .C = static_cast<int>(C),
                                    .A = static_cast<int>(A),
                                    .ratio = op.ratio.as<float>(),
                                    .weight = op.weight.as<float>(),
                                    .variance = is_diagonal(op.covariance) ? op.covariance.as<float>() : nullptr,
                                    .u = op.u.as<float>(),
                                    .slots = op.slots.as<std::int32_t>(),
                                    .g = g,
                                    .dweight = op.dweight.as<float>()};
  launch(context, LaunchShape{.name = "isda_gather", .grid = dim3(static_cast<unsigned>(members.most), blocks_for(C, kThreads)), .block = kThreads},
         gather_kernel, correction, op.daugmented.as<float>(), g);
  if (is_low_rank(op.covariance))
    correct_weight_gradient_low_rank(context, scratch, correction, op.covariance);
  else
    correct_weight_gradient(context, scratch, correction);
}

}  // namespace isda::kernels
