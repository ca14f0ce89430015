// SPDX-License-Identifier: Apache-2.0
// Level 1: the head as it is usually written, by whole arrays of samples. A thread an element of each.
//
//   statistics   every sample's outer product, every class's covariance written anew (dense_statistics.cu)
//   S[n]         the covariance of each sample's class, gathered                 (N,A,A)
//   D[n,j]       w_j - w_y                                                       (N,C,A)
//   U[n]         D[n] S[n]                                                       (N,C,A)
//   P[n]         U[n] D[n]^T, of which the diagonal is the correction            (N,C,C)
//   dD[n,j]      ratio G[n,j] U[n,j]; dW[j] += sum_n dD[n,j], dW[y_n] -= sum_j dD[n,j], as a tape would
//
//   bytes     4 (4 N A^2 + (4 C + K) A^2 + 9 N C A + N C^2): at (128,100,640) 1.9 GB, and at its peak 0.37 GB of memory beside the
//             covariances' own 0.16
//   FLOP      2 N C A^2 + 2 N C^2 A + 2 N A^2, and little
//   launches  12 of its own
//
// What hurts: samples of one class have one correction, and it is made for each of them; a C x C product for its diagonal; arrays of N A^2 and N C A that
// live for one use. NOTE: the usual code has a library's batched products, which have tiles; these are loops, so that tiles are an idea of their own (level 4).
#include "kernels/isda/ladder/steps.cuh"
#include "kernels/linear/linear.h"

namespace isda::kernels::ladder {

namespace {

struct Dense {
  Extents extents;
  const std::int32_t* labels;       // (N)
  const float *weight, *ratio;      // (C,A), (1)
  const float* covariance;          // (C,A,A)
  const float *logits, *gradient;   // (N,C)
  float *S, *D, *U, *P;             // (N,A,A), (N,C,A), (N,C,A), (N,C,C)
  float *augmented, *dD, *dweight;  // (N,C), (N,C,A), (C,A)
};

__global__ void __launch_bounds__(kThreads) gather_kernel(const __grid_constant__ Dense op) {
  const auto [N, C, A] = op.extents;
  const std::int64_t at = this_element(), size = std::int64_t{A} * A;
  if (at < N * size) op.S[at] = op.covariance[class_of(op.labels, static_cast<int>(at / size), C) * size + at % size];
}

__global__ void __launch_bounds__(kThreads) difference_kernel(const __grid_constant__ Dense op) {
  const auto [N, C, A] = op.extents;
  const std::int64_t at = this_element(), pair = at / A;
  if (at >= std::int64_t{N} * C * A) return;
  const std::int64_t own = class_of(op.labels, static_cast<int>(pair / C), C);
  op.D[at] = op.weight[pair % C * A + at % A] - op.weight[own * A + at % A];
}

__global__ void __launch_bounds__(kThreads) multiply_kernel(const __grid_constant__ Dense op) {
  const auto [N, C, A] = op.extents;
  const std::int64_t at = this_element(), pair = at / A;
  if (at >= std::int64_t{N} * C * A) return;
  const float *d = op.D + pair * A, *S = op.S + pair / C * A * A + at % A;
  float sum = 0;
  for (int b = 0; b < A; ++b) sum += d[b] * S[std::int64_t{b} * A];
  op.U[at] = sum;
}

__global__ void __launch_bounds__(kThreads) pair_product_kernel(const __grid_constant__ Dense op) {
  const auto [N, C, A] = op.extents;
  const std::int64_t at = this_element(), pair = at / C;
  if (at >= std::int64_t{N} * C * C) return;
  const float *u = op.U + pair * A, *d = op.D + (pair / C * C + at % C) * A;
  float sum = 0;
  for (int a = 0; a < A; ++a) sum += u[a] * d[a];
  op.P[at] = sum;
}

__global__ void __launch_bounds__(kThreads) diagonal_kernel(const __grid_constant__ Dense op) {
  const auto [N, C, A] = op.extents;
  const std::int64_t at = this_element();
  if (at < std::int64_t{N} * C) op.augmented[at] = op.logits[at] + (*op.ratio != 0 ? *op.ratio / 2 * op.P[at * C + at % C] : 0.0f);
}

__global__ void __launch_bounds__(kThreads) difference_gradient_kernel(const __grid_constant__ Dense op) {
  const auto [N, C, A] = op.extents;
  const std::int64_t at = this_element();
  if (at < std::int64_t{N} * C * A) op.dD[at] = *op.ratio != 0 ? *op.ratio * op.gradient[at / A] * op.U[at] : 0.0f;
}

__global__ void __launch_bounds__(kThreads) weight_gradient_kernel(const __grid_constant__ Dense op) {
  const auto [N, C, A] = op.extents;
  const std::int64_t at = this_element();
  if (at >= std::int64_t{C} * A) return;
  const int j = static_cast<int>(at / A), a = static_cast<int>(at % A);
  float others = 0, own = 0;
  for (int n = 0; n < N; ++n) {
    const float* d = op.dD + std::int64_t{n} * C * A + a;
    others += d[std::int64_t{j} * A];
    for (int k = 0; k < C && op.labels[n] == j; ++k) own += d[std::int64_t{k} * A];
  }
  op.dweight[at] += others - own;
}

void run_dense(const Context& context, const IsdaHead& op) {
  const Extents extents = extents_of(op);
  const std::int64_t N = extents.N, C = extents.C, A = extents.A;
  Scratch scratch = context.scratch();
  const Batch batch = begin(context, scratch, op);
  update_densely(context, op, batch.features);

  const Dense dense{.extents = extents,
                    .labels = op.labels.as<std::int32_t>(),
                    .weight = op.weight.as<float>(),
                    .ratio = op.ratio.as<float>(),
                    .covariance = op.covariance.as<float>(),
                    .logits = batch.logits.as<float>(),
                    .gradient = batch.gradient.as<float>(),
                    .S = scratch.take<float>(N * A * A),
                    .D = scratch.take<float>(N * C * A),
                    .U = scratch.take<float>(N * C * A),
                    .P = scratch.take<float>(N * C * C),
                    .augmented = batch.augmented.as<float>(),
                    .dD = scratch.take<float>(N * C * A),
                    .dweight = op.dweight.as<float>()};
  launch_elements(context, "ladder_gather", N * A * A, gather_kernel, dense);
  launch_elements(context, "ladder_difference", N * C * A, difference_kernel, dense);
  launch_elements(context, "ladder_multiply_samples", N * C * A, multiply_kernel, dense);
  launch_elements(context, "ladder_pair_product", N * C * C, pair_product_kernel, dense);
  launch_elements(context, "ladder_diagonal", N * C, diagonal_kernel, dense);
  take_loss(context, op, batch);
  run(Cuda{}, context,
      LinearBackward{.dy = batch.gradient, .x = batch.features, .weight = op.weight, .dx = batch.dfeatures, .dweight = op.dweight, .dbias = op.dbias});
  launch_elements(context, "ladder_difference_gradient", N * C * A, difference_gradient_kernel, dense);
  launch_elements(context, "ladder_weight_gradient", C * A, weight_gradient_kernel, dense);
  spread(context, op, batch);
}

//   S 1 + 1   D 1 + 2   U 1 + 2   P 1, its diagonal 1   dD 1 + 2   of covariances those that are present
Cost cost_of_dense(const IsdaHead& op) {
  const Sizes of(op);
  const auto [N, C, A, K, maps, elements] = of;
  return cost_around(of) + cost_of_dense_statistics(of) +
         Cost{.flop = 2 * N * C * A * A + 2 * N * C * C * A + 5 * N * C * A, .bytes = 4 * ((2 * N + K) * A * A + 9 * N * C * A + N * C * (C + 1))};
}

const Declare level{{.name = "01_dense", .idea = "whole arrays of samples, as it is usually written", .cost = cost_of_dense, .run = run_dense}};

}  // namespace

}  // namespace isda::kernels::ladder
