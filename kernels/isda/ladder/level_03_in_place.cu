// SPDX-License-Identifier: Apache-2.0
// Level 3: a covariance is changed where it is, and only if its class is present. The whole update of a class with m samples is m + 1 outer products:
//
//   S_c <- keep S_c + sum_k z_k z_k^T, k = 0 ... m      z_k = sqrt(1 / (n+m)) (a_k - nu), z_m = sqrt(keep m / (n+m)) (mu_c - nu), keep = n / (n+m)
//
//   fold       means, and the terms z, (N+K,A), by the operation's own (kernels/isda/statistics.cuh)
//   update     a thread an element of S_c: reads it, adds its m + 1 products, writes it back
//
//   bytes     4 (2 K A^2 + K A^2 + 3 K C A): 2 K A^2 for the update where level 2 moved (2 N + 4 C) A^2
//   FLOP      2 (N + 2 K) A^2 + 2 K C A^2
//   gains     no array of N A^2 or C A^2 beside the covariances: of level 1's, at (128,100,640) more than twice as much, only U is left, a
//             sixth
//
// What hurts: the product, which is unchanged from level 2.
#include "kernels/isda/ladder/steps.cuh"

namespace isda::kernels::ladder {

namespace {

__global__ void __launch_bounds__(kThreads) update_kernel(const __grid_constant__ Membership members, const __grid_constant__ CovarianceTerms terms, int A,
                                                          float* __restrict__ covariance, float* count) {
  const std::int64_t at = this_element(), size = std::int64_t{A} * A;
  const int slot = static_cast<int>(at / size), a = static_cast<int>(at % size / A), b = static_cast<int>(at % A);
  if (slot >= *members.present) return;
  const int c = members.classes[slot], m = members.count(slot);
  const float* z = terms.rows + terms.first_row(members, slot) * A;
  float& value = covariance[c * size + at % size];
  float sum = terms.keep[slot] * value;
  for (int k = 0; k <= m; ++k, z += A) sum = fmaf(z[a], z[b], sum);
  value = sum;
  if (at % size == 0) count[c] += static_cast<float>(m);
}

void update_and_multiply(const Context& context, Scratch& scratch, const PerClass& of) {
  update_in_place(context, scratch, of);
  multiply_per_class(context, of);
}

void run_level(const Context& context, const IsdaHead& op) { run_per_class(context, op, update_and_multiply); }

const Declare level{{.name = "03_in_place", .idea = "covariances of present classes changed in place", .cost = cost_in_place, .run = run_level}};

}  // namespace

void update_in_place(const Context& context, Scratch& scratch, const PerClass& of) {
  const CovarianceTerms terms = fold_on_card(context, scratch, of.op.name, of.members, of.features, of.op.count, of.op.mean);
  const std::int64_t A = of.features.extent(1);
  launch_elements(context, "ladder_update", of.members.most * A * A, update_kernel, of.members, terms, static_cast<int>(A), of.op.covariance.as<float>(),
                  of.op.count.as<float>());
}

Cost cost_in_place(const IsdaHead& op) {
  const Sizes of(op);
  const double S = of.A * of.A;
  return cost_per_class(of) + Cost{.flop = 2 * (of.N + 2 * of.K) * S + 2 * of.K * of.C * S, .bytes = 4 * 3 * of.K * S};
}

}  // namespace isda::kernels::ladder
