// SPDX-License-Identifier: Apache-2.0
// IsdaPreparedHead on the card: no pass over the covariances, and of U one.
//
//   fold       features, means, and the batch's terms, which are left pending (head_statistics.cuh)
//   project    t_k[j] = z_k . D_c[j], and Q' = keep Q + sum_k t_k^2: a warp four elements j of a class, lanes along the features
//   the rest   from logits to gradients, with U' in the place of U, made on the way (head_by_parts.cuh)
//
//   10 launches, 9 for features in f32.   bytes  x, dx, U of K classes once; the terms written once; W, and the terms C / 4 times, from L2
#include "kernels/isda/head_by_parts.cuh"
#include "kernels/isda/prepared.cuh"
#include "kernels/isda/tile.cuh"

namespace isda::kernels {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int kClasses = 32;  // j of a block
constexpr int kOwn = 4;       // of a warp at a time
constexpr int kTermsAtOnce = 4;

struct Project {
  Membership members;
  CovarianceTerms terms;
  int C, A;
  const float* weight;  // (C,A)
  const float* q;       // (most,C), of before the batch
  float* t;             // (N+most,C), rows by slots
  float* q_now;         // (most,C)
};

// Blocks: slots by 32 classes j.
template <int width>
__global__ void __launch_bounds__(kThreads) project_terms_kernel(const __grid_constant__ Project op) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp, slot = static_cast<int>(blockIdx.x);
  if (slot >= *op.members.present) return;
  const int C = op.C, A = op.A, rank = op.terms.rank(op.members, slot);
  const float* own = op.weight + std::int64_t{op.members.classes[slot]} * A;
  const float* z = op.terms.rows + op.terms.first_row(op.members, slot) * A;
  float* t = op.t + CovarianceTerms::row_of_slot(op.members, slot) * C;
  const float keep = op.terms.kept(op.members, slot);
  for (int i = warp * kOwn; i < kClasses; i += kWarps * kOwn) {
    const int first_class = static_cast<int>(blockIdx.y) * kClasses + i;
    if (first_class >= C) return;
    float q[kOwn];
#pragma unroll
    for (int o = 0; o < kOwn; ++o) q[o] = first_class + o < C ? keep * op.q[std::int64_t{slot} * C + first_class + o] : 0.0f;
    for (int first = 0; first < rank; first += kTermsAtOnce) {
      float products[kOwn][kTermsAtOnce] = {};
      for (int a = lane * 4; a < A; a += kWarp * 4) {
        float w_c[4], term[kTermsAtOnce][4];
        tile::load_four<width>(own + a, A - a, w_c);
#pragma unroll
        for (int k = 0; k < kTermsAtOnce; ++k) tile::load_four<width>(z + std::int64_t{first + k} * A + a, first + k < rank ? A - a : 0, term[k]);
#pragma unroll
        for (int o = 0; o < kOwn; ++o) {
          float d[4];
          tile::load_four<width>(op.weight + std::int64_t{first_class + o} * A + a, first_class + o < C ? A - a : 0, d);
#pragma unroll
          for (int f = 0; f < 4; ++f) d[f] -= w_c[f];
#pragma unroll
          for (int k = 0; k < kTermsAtOnce; ++k) {
#pragma unroll
            for (int f = 0; f < 4; ++f) products[o][k] = fmaf(term[k][f], d[f], products[o][k]);
          }
        }
      }
#pragma unroll
      for (int o = 0; o < kOwn; ++o) {
#pragma unroll
        for (int k = 0; k < kTermsAtOnce; ++k) {
          const float product = warp_sum(products[o][k]);
          if (lane == 0 && first + k < rank && first_class + o < C) t[std::int64_t{first + k} * C + first_class + o] = product;
          q[o] += product * product;
        }
      }
    }
#pragma unroll
    for (int o = 0; o < kOwn; ++o) {
      if (lane == 0 && first_class + o < C) op.q_now[std::int64_t{slot} * C + first_class + o] = q[o];
    }
  }
}

}  // namespace

void run(Cuda, const Context& context, const IsdaPreparedHead& op) {
  const std::int64_t N = op.x.extent(0);
  const auto [C, A] = op.weight.extents<2>();
  Scratch scratch = context.scratch();
  const Membership members = membership_in(op.prepared.members, N, C);
  const CovarianceTerms terms = terms_of(op.pending);
  auto* features = scratch.take<float>(N * A);
  fold_maps(context, {.members = members, .x = op.x, .labels = op.labels, .count = op.count, .mean = op.mean, .features = features, .terms = terms});

  const Project project{.members = members,
                        .terms = terms,
                        .C = static_cast<int>(C),
                        .A = static_cast<int>(A),
                        .weight = op.weight.as<float>(),
                        .q = static_cast<const ConstView&>(op.prepared.q).as<float>(),
                        .t = scratch.take<float>((N + members.most) * C),
                        .q_now = scratch.take<float>(std::int64_t{members.most} * C)};
  dispatch_width<float>(A, are_aligned({op.weight, op.pending.rows}), [&]<int width>() {
    launch(context, {.name = "isda_project_terms", .grid = dim3(static_cast<unsigned>(members.most), blocks_for(project.C, kClasses)), .block = kThreads},
           project_terms_kernel<width>, project);
  });

  finish_head(context, scratch,
              {.batch = batch_of(op),
               .members = members,
               .slots = op.prepared.slots.as<std::int32_t>(),
               .features = features,
               .table = {.q = project.q_now, .parts = 1},
               .count = op.count,
               .u = op.prepared.u.as<float>(),
               .terms = terms,
               .projections = project.t});
}

}  // namespace isda::kernels
