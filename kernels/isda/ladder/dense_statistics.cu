// SPDX-License-Identifier: Apache-2.0
// The class statistics as a program of whole-array operations makes them: the first two levels' (level_01_dense.cu).
//
//   nu[c], m[c]    a thread a (class, feature), over all N labels
//   E[n]           (a_n - nu)(a_n - nu)^T of every sample, (N,A,A)
//   S'[c]          (1-w) S_c + (w/m) sum of its samples' E + w (1-w) (mu_c - nu)(mu_c - nu)^T, of every class, present or not, in a second (C,A,A)
//   then mu <- ..., S <- S', n <- n + m
//
//   bytes  4 (2 N A^2 + 4 C A^2)      FLOP  2 N A^2 + 6 C A^2      launches  5
//
// NOTE: the usual form multiplies by a mask of zeros and ones, (N,C,A). Here the class is compared, so that a NaN reaches no class but its own.
#include "kernels/isda/ladder/steps.cuh"

namespace isda::kernels::ladder {

namespace {

struct Statistics {
  Extents extents;
  const std::int32_t* labels;     // (N)
  const float* features;          // (N,A)
  float *count, *mean, *S;        // (C), (C,A), (C,A,A)
  float *m, *nu, *E, *S_updated;  // (C), (C,A), (N,A,A), (C,A,A)
};

__global__ void __launch_bounds__(kThreads) class_mean_kernel(const __grid_constant__ Statistics op) {
  const auto [N, C, A] = op.extents;
  const std::int64_t at = this_element();
  if (at >= std::int64_t{C} * A) return;
  const int c = static_cast<int>(at / A), a = static_cast<int>(at % A);
  float m = 0, sum = 0;
  for (int n = 0; n < N; ++n) {
    if (op.labels[n] != c) continue;
    m += 1;
    sum += op.features[std::int64_t{n} * A + a];
  }
  op.nu[at] = m > 0 ? sum / m : 0;
  if (a == 0) op.m[c] = m;
}

__global__ void __launch_bounds__(kThreads) outer_product_kernel(const __grid_constant__ Statistics op) {
  const auto [N, C, A] = op.extents;
  const std::int64_t at = this_element(), row = at / A;
  if (at >= std::int64_t{N} * A * A) return;
  const int n = static_cast<int>(row / A), a = static_cast<int>(row % A), b = static_cast<int>(at % A);
  const float *nu = op.nu + std::int64_t{class_of(op.labels, n, C)} * A, *feature = op.features + std::int64_t{n} * A;
  op.E[at] = (feature[a] - nu[a]) * (feature[b] - nu[b]);
}

__global__ void __launch_bounds__(kThreads) blend_kernel(const __grid_constant__ Statistics op) {
  const auto [N, C, A] = op.extents;
  const std::int64_t at = this_element(), row = at / A;
  if (at >= std::int64_t{C} * A * A) return;
  const int c = static_cast<int>(row / A), a = static_cast<int>(row % A), b = static_cast<int>(at % A);
  float sum = 0;
  for (int n = 0; n < N; ++n) {
    if (op.labels[n] == c) sum += op.E[(std::int64_t{n} * A + a) * A + b];
  }
  const float m = op.m[c], w = m / (op.count[c] + m), *mu = op.mean + std::int64_t{c} * A, *nu = op.nu + std::int64_t{c} * A;
  op.S_updated[at] = m > 0 ? (1 - w) * op.S[at] + w * (sum / m) + w * (1 - w) * ((mu[a] - nu[a]) * (mu[b] - nu[b])) : op.S[at];
}

__global__ void __launch_bounds__(kThreads) mean_kernel(const __grid_constant__ Statistics op) {
  const auto [N, C, A] = op.extents;
  const std::int64_t at = this_element();
  if (at >= std::int64_t{C} * A) return;
  const float m = op.m[at / A], w = m / (op.count[at / A] + m);
  if (m > 0) op.mean[at] = (1 - w) * op.mean[at] + w * op.nu[at];
}

__global__ void __launch_bounds__(kThreads) store_kernel(const __grid_constant__ Statistics op) {
  const auto [N, C, A] = op.extents;
  const std::int64_t at = this_element(), size = std::int64_t{A} * A;
  if (at >= C * size) return;
  op.S[at] = op.S_updated[at];
  if (at % size == 0 && op.m[at / size] > 0) op.count[at / size] += op.m[at / size];
}

}  // namespace

void update_densely(const Context& context, const IsdaHead& op, const View& features) {
  const Extents extents = extents_of(op);
  const std::int64_t N = extents.N, C = extents.C, A = extents.A;
  Scratch scratch = context.scratch();
  const Statistics statistics{.extents = extents,
                              .labels = op.labels.as<std::int32_t>(),
                              .features = features.as<float>(),
                              .count = op.count.as<float>(),
                              .mean = op.mean.as<float>(),
                              .S = op.covariance.as<float>(),
                              .m = scratch.take<float>(C),
                              .nu = scratch.take<float>(C * A),
                              .E = scratch.take<float>(N * A * A),
                              .S_updated = scratch.take<float>(C * A * A)};
  launch_elements(context, "ladder_class_mean", C * A, class_mean_kernel, statistics);
  launch_elements(context, "ladder_outer_product", N * A * A, outer_product_kernel, statistics);
  launch_elements(context, "ladder_blend", C * A * A, blend_kernel, statistics);
  launch_elements(context, "ladder_mean", C * A, mean_kernel, statistics);
  launch_elements(context, "ladder_store", C * A * A, store_kernel, statistics);
}

Cost cost_of_dense_statistics(const Sizes& of) { return {.flop = (2 * of.N + 6 * of.C) * of.A * of.A, .bytes = 4 * (2 * of.N + 4 * of.C) * of.A * of.A}; }

}  // namespace isda::kernels::ladder
