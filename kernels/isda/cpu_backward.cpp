// SPDX-License-Identifier: Apache-2.0
// Two products for the plain gradients, then the correction of dW in one pass over U (full), s (diagonal) or P and V (low_rank.h), in blocks of columns:
// a block of dW stays in cache while the blocks of every U_c go by.
#include <algorithm>

#include "kernels/common/gemm.h"
#include "kernels/common/parallel.h"
#include "kernels/isda/host_checks.h"
#include "kernels/isda/low_rank.h"
#include "kernels/isda/members.h"

namespace isda::kernels {

namespace {

constexpr std::int64_t kBlock = 64;

Matrix matrix(const ConstView& view) { return {view.as<float>(), view.extent(1), 1}; }

// The correction of dW: dW[j] += g[slot,j] U_c[j] and dW[c] -= g[slot,j] U_c[j] over all slots and j.
struct Correction {
  const Members& members;
  std::int64_t C, A;
  const float* g;  // (K,C): ratio Gc
  const float* u;  // (K,C,A) in order of `slots`, or null: then U_c[j] = (w_j - w_c) s_c
  const std::int32_t* slots;
  const float* weight;  // (C,A)
  const float* s;       // (C,A), diagonal
  float* dweight;       // (C,A)
};

// The columns [begin, begin + width) of the correction.
void correct(const Correction& op, std::int64_t begin, std::int64_t width) {
  const std::int64_t C = op.C, A = op.A;
  float own[kBlock], product[kBlock];
  for (std::int64_t slot = 0; slot < op.members.present; ++slot) {
    const std::int64_t c = op.members.classes[slot];
    std::fill_n(own, width, 0.0f);
    for (std::int64_t j = 0; j < C; ++j) {
      const float g = op.g[slot * C + j];
      const float* u = product;
      if (op.u) {
        u = op.u + (op.slots[c] * C + j) * A + begin;
      } else {
        const float *w_j = op.weight + j * A + begin, *w_c = op.weight + c * A + begin, *s = op.s + c * A + begin;
        for (std::int64_t a = 0; a < width; ++a) product[a] = (w_j[a] - w_c[a]) * s[a];
      }
      float* dw = op.dweight + j * A + begin;
      for (std::int64_t a = 0; a < width; ++a) {
        dw[a] += g * u[a];
        own[a] += g * u[a];
      }
    }
    float* dw = op.dweight + c * A + begin;
    for (std::int64_t a = 0; a < width; ++a) dw[a] -= own[a];
  }
}

}  // namespace

void run(Cpu, const Context& context, const IsdaBackward& op) {
  check_cpu(op.name, op.features);
  const auto [N, A] = op.features.extents<2>();
  const std::int64_t C = op.weight.extent(0);
  check_labels(op.name, op.labels, C);
  check_slots(op.name, op.labels, op.slots);
  const float* gradient = op.daugmented.as<float>();
  float* dweight = op.dweight.as<float>();
  const float ratio = *op.ratio.as<float>();

  gemm(context, {.M = N, .N = A, .K = C, .a = matrix(op.daugmented), .b = matrix(op.weight), .c = op.dfeatures.as<float>()});
  gemm(context, {.M = C, .N = A, .K = N, .a = matrix(op.daugmented).transposed(), .b = matrix(op.features), .c = dweight});
  if (op.dbias) {
    float* dbias = op.dbias.as<float>();
    std::fill_n(dbias, C, 0.0f);
    for (std::int64_t i = 0; i < N; ++i) {
      for (std::int64_t j = 0; j < C; ++j) dbias[j] += gradient[i * C + j];
    }
  }
  if (ratio == 0) return;

  // ratio Gc.
  Scratch scratch = context.scratch();
  const Members members = members_of(scratch, op.labels.as<std::int32_t>(), N, C, nullptr);
  const auto* slots = op.slots.as<std::int32_t>();
  float* g = scratch.take<float>(members.most * C);
  std::fill_n(g, members.present * C, 0.0f);
  for (std::int64_t slot = 0; slot < members.present; ++slot) {
    for (std::int32_t k = members.begin[slot]; k < members.begin[slot + 1]; ++k) {
      for (std::int64_t j = 0; j < C; ++j) g[slot * C + j] += gradient[members.samples[k] * C + j];
    }
    for (std::int64_t j = 0; j < C; ++j) g[slot * C + j] *= ratio;
  }

  if (is_low_rank(op.covariance)) {
    const low_rank::Batch batch{
        .members = members, .C = C, .A = A, .R = directions_of(op.covariance), .weight = op.weight.as<float>(), .covariance = op.covariance.as<float>()};
    return low_rank::correct(context, batch, op.u.as<float>(), slots, g, dweight);
  }
  const Correction correction{members, C, A, g, op.u.as<float>(), slots, op.weight.as<float>(), op.u ? nullptr : op.covariance.as<float>(), dweight};
  const std::int64_t blocks = (A + kBlock - 1) / kBlock;
  const double flop = 4.0 * static_cast<double>(members.present * C) * static_cast<double>(A);
  parallel_ranges(context, blocks, grain_of(context, blocks, flop), [&, A = A](std::int64_t begin, std::int64_t end) {
    for (std::int64_t block = begin; block < end; ++block) correct(correction, block * kBlock, std::min(kBlock, A - block * kBlock));
  });
}

}  // namespace isda::kernels
