// SPDX-License-Identifier: Apache-2.0
// Level 2: the correction depends on a sample only through its label. So it is a table Q[c,j] of the classes c that are present, K <= min(N,C) of them.
//
//   membership   the batch sorted by class (kernels/isda/membership.cuh): K is known on the card only, and blocks are launched for min(N,C)
//   U_c[j,a]     sum over b of (w_j[b] - w_c[b]) S_c[b,a]: a thread an element; the differences are taken on the way, and no S is gathered
//   Q, gradients by run_per_class (steps.cu): a sum over the features for a pair (c,j), and U_c is all that the gradient needs
//
//   bytes     4 ((2 N + 4 C + K) A^2 + 3 K C A)
//   FLOP      2 K C A^2: by N / K less than level 1, and no N C^2 A
//   gains     N - K of N products; (N,A,A) once less; no (N,C,A), no (N,C,C)
//
// What hurts: the statistics are still those of level 1, in arrays of N A^2 and C A^2. And each multiply-add of U asks for three numbers: a warp's threads
// share w_j and w_c, but S_c is asked for C times.
#include "kernels/isda/ladder/steps.cuh"

namespace isda::kernels::ladder {

namespace {

__global__ void __launch_bounds__(kThreads) multiply_kernel(const __grid_constant__ Membership members, Extents extents, const float* __restrict__ weight,
                                                            const float* __restrict__ covariance, float* __restrict__ u) {
  const auto [N, C, A] = extents;
  const std::int64_t at = this_element(), pair = at / A;
  const int slot = static_cast<int>(pair / C), j = static_cast<int>(pair % C), a = static_cast<int>(at % A);
  if (slot >= *members.present) return;
  const int c = members.classes[slot];
  const float *own = weight + std::int64_t{c} * A, *other = weight + std::int64_t{j} * A, *S = covariance + std::int64_t{c} * A * A + a;
  float sum = 0;
  for (int b = 0; b < A; ++b) sum += (other[b] - own[b]) * S[std::int64_t{b} * A];
  u[at] = sum;
}

void update_and_multiply(const Context& context, Scratch&, const PerClass& of) {
  update_densely(context, of.op, of.features);
  multiply_per_class(context, of);
}

void run_level(const Context& context, const IsdaHead& op) { run_per_class(context, op, update_and_multiply); }

Cost cost_of_level(const IsdaHead& op) {
  const Sizes of(op);
  return cost_per_class(of) + cost_of_dense_statistics(of) + Cost{.flop = 2 * of.K * of.C * of.A * of.A, .bytes = 4 * of.K * of.A * of.A};
}

const Declare level{{.name = "02_per_class", .idea = "a table of the present classes", .cost = cost_of_level, .run = run_level}};

}  // namespace

void multiply_per_class(const Context& context, const PerClass& of) {
  launch_elements(context, "ladder_multiply_classes", of.u.size(), multiply_kernel, of.members, extents_of(of.op), of.op.weight.as<float>(),
                  static_cast<const ConstView&>(of.op.covariance).as<float>(), of.u.as<float>());
}

}  // namespace isda::kernels::ladder
