// SPDX-License-Identifier: Apache-2.0
// The cpu version in its parts: the batch is sorted by class (members.h) and folded into counts and means; the covariances are
// passed over once (covariance_pass.h, low_rank.h, or the diagonal here), which gives Q; the logits are one product, and Q[y] is added to them.
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/common/gemm.h"
#include "kernels/common/parallel.h"
#include "kernels/isda/covariance_pass.h"
#include "kernels/isda/isda.h"
#include "kernels/isda/low_rank.h"

namespace isda::kernels {

namespace {

Matrix matrix(const ConstView& view) { return {view.as<float>(), view.extent(1), 1}; }

// s_c <- keep s_c + sum_k z_k^2
void update_diagonal(const Context& context, const Terms& terms, float* covariance) {
  const std::int64_t K = terms.members.present, N = terms.members.begin[K], A = terms.A;
  parallel_ranges(context, K, grain_of(context, K, 2.0 * static_cast<double>((N + K) * A)), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t slot = begin; slot < end; ++slot) {
      const float keep = terms.keep[slot];
      float* s = covariance + terms.members.classes[slot] * A;
      const float* z = terms.row(slot);
      const std::int64_t rank = terms.rank(slot);
      for_strips(A, [=]<class V, int count>(std::int64_t a) {
        V sum[count]{};
        for (std::int64_t k = 0; k < rank; ++k) {
          for (int v = 0; v < count; ++v) {
            const V term = load<V>(z + k * A + a, v);
            sum[v] += term * term;
          }
        }
        for (int v = 0; v < count; ++v) store(s + a, v, V(keep * load<V>(s + a, v) + sum[v]));
      });
    }
  });
}

// q (K,C): Q[c,j] = sum_a D_c[j,a]^2 s_c[a]
void multiply_diagonal(const Context& context, const Members& members, const float* weight, const float* covariance, std::int64_t C, std::int64_t A, float* q) {
  const std::int64_t units = members.present * C;
  parallel_ranges(context, units, grain_of(context, units, 4.0 * static_cast<double>(units * A)), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t unit = begin; unit < end; ++unit) {
      const std::int64_t c = members.classes[unit / C];
      const float *own = weight + c * A, *other = weight + unit % C * A, *s = covariance + c * A;
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (std::int64_t a = 0; a < A; ++a) sum += (other[a] - own[a]) * (other[a] - own[a]) * s[a];
      q[unit] = sum;
    }
  });
}

// augmented = logits + (ratio/2) Q[y]    q (K,parts,C): Q is the sum over the parts, in order
void augment(const Members& members, const float* logits, const float* q, std::int64_t parts, std::int64_t C, float ratio, float* augmented) {
  for (std::int64_t slot = 0; slot < members.present; ++slot) {
    for (std::int32_t k = members.begin[slot]; k < members.begin[slot + 1]; ++k) {
      const float* z = logits + members.samples[k] * C;
      float* out = augmented + members.samples[k] * C;
      if (ratio == 0) {
        std::copy_n(z, C, out);
        continue;
      }
      const float* part = q + slot * parts * C;
      for (std::int64_t j = 0; j < C; ++j) {
        float sum = part[j];
        for (std::int64_t p = 1; p < parts; ++p) sum += part[p * C + j];
        out[j] = z[j] + ratio / 2 * sum;
      }
    }
  }
}

// What an update changes.
struct Statistics {
  float *count, *mean, *covariance;
};

// IsdaForward, after the update of `statistics` unless that is null.
template <class Operation>
void run_forward(const Context& context, const Operation& op, const Statistics* statistics) {
  check_cpu(op.name, op.features);
  const auto [N, A] = op.features.template extents<2>();
  const std::int64_t C = op.weight.extent(0);
  check_labels(op.name, op.labels, C);
  const float *features = op.features.template as<float>(), *weight = op.weight.template as<float>();
  const float* covariance = static_cast<const ConstView&>(op.covariance).as<float>();
  Scratch scratch = context.scratch();
  const Members members = members_of(scratch, op.labels.template as<std::int32_t>(), N, C, op.slots.template as<std::int32_t>());

  std::int64_t parts = 1;
  float* q = nullptr;
  if (is_full(op.covariance)) {
    parts = strips_of(A);
    q = scratch.take<float>(members.most * parts * C);
    CovariancePass pass{.members = members, .A = A, .C = C, .covariance = covariance, .weight = weight, .u = op.u.template as<float>(), .q = q};
    if (statistics) {
      const Terms terms = fold_batch(context, scratch, members, features, A, statistics->count, statistics->mean);
      pass.terms = &terms;
      pass.updated = statistics->covariance;
      run_pass(context, pass);
    } else {
      run_pass(context, pass);
    }
  } else if (is_low_rank(op.covariance)) {
    const low_rank::Batch batch{.members = members, .C = C, .A = A, .R = directions_of(op.covariance), .weight = weight, .covariance = covariance};
    if (statistics)
      low_rank::update(context, fold_batch(context, scratch, members, features, A, statistics->count, statistics->mean), batch.R, statistics->covariance);
    q = scratch.take<float>(members.most * C);
    low_rank::project(context, batch, op.u.template as<float>(), q);
  } else {
    if (statistics) update_diagonal(context, fold_batch(context, scratch, members, features, A, statistics->count, statistics->mean), statistics->covariance);
    q = scratch.take<float>(members.most * C);
    multiply_diagonal(context, members, weight, covariance, C, A, q);
  }

  float* logits = op.logits.template as<float>();
  gemm(context, {.M = N, .N = C, .K = A, .a = matrix(op.features), .b = matrix(op.weight).transposed(), .c = logits, .bias = op.bias.template as<float>()});
  augment(members, logits, q, parts, C, *op.ratio.template as<float>(), op.augmented_logits.template as<float>());
}

}  // namespace

void run(Cpu, const Context& context, const IsdaUpdate& op) {
  check_cpu(op.name, op.features);
  const auto [N, A] = op.features.extents<2>();
  const std::int64_t C = op.count.extent(0);
  check_labels(op.name, op.labels, C);
  Scratch scratch = context.scratch();
  const Members members = members_of(scratch, op.labels.as<std::int32_t>(), N, C, nullptr);
  const Terms terms = fold_batch(context, scratch, members, op.features.as<float>(), A, op.count.as<float>(), op.mean.as<float>());
  float* covariance = op.covariance.as<float>();
  if (is_full(op.covariance))
    run_pass(context, {.members = members, .A = A, .C = C, .covariance = covariance, .terms = &terms, .updated = covariance});
  else if (is_low_rank(op.covariance))
    low_rank::update(context, terms, directions_of(op.covariance), covariance);
  else
    update_diagonal(context, terms, covariance);
}

void run(Cpu, const Context& context, const IsdaForward& op) { run_forward(context, op, nullptr); }

void run(Cpu, const Context& context, const IsdaUpdateForward& op) {
  const Statistics statistics{op.count.as<float>(), op.mean.as<float>(), op.covariance.as<float>()};
  run_forward(context, op, &statistics);
}

}  // namespace isda::kernels
