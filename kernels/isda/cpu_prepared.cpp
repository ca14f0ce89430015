// SPDX-License-Identifier: Apache-2.0
// The head in two parts on the cpu: the passes of cpu.cpp with terms that are pending, and U' and Q' made from what was prepared.
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/common/gemm.h"
#include "kernels/common/parallel.h"
#include "kernels/isda/covariance_pass.h"
#include "kernels/isda/host_checks.h"
#include "kernels/isda/host_head.h"
#include "kernels/isda/prepared_head.h"

namespace isda::kernels {

namespace {

Terms terms_of(const PendingTerms& pending, const Members& members) {
  const auto [R, A] = pending.rows.extents<2>();
  return {.members = members,
          .A = A,
          .rows = pending.rows.as<float>(),
          .keep = pending.keep.as<float>(),
          .most = std::max(pending.of_class, R - pending.count.size() * pending.of_class),
          .first = pending.first.as<std::int32_t>(),
          .count = pending.count.as<std::int32_t>()};
}

// What is pending of the classes that `is_due` names reaches their covariances.
template <class IsDue>
void settle_classes(const Context& context, const View& covariance, const PendingTerms& pending, IsDue&& is_due) {
  const std::int64_t C = covariance.extent(0), A = covariance.extent(1);
  auto* count = pending.count.as<std::int32_t>();
  Scratch scratch = context.scratch();
  auto* classes = scratch.take<std::int32_t>(C);
  auto* begin = scratch.take<std::int32_t>(C + 1);  // no samples
  std::fill_n(begin, C + 1, 0);
  Members due{.most = C, .classes = classes, .begin = begin};
  for (std::int64_t c = 0; c < C; ++c) {
    if (count[c] > 0 && is_due(c)) classes[due.present++] = static_cast<std::int32_t>(c);
  }
  const Terms terms = terms_of(pending, due);
  auto* updated = covariance.as<float>();
  run_pass(context, {.members = due, .A = A, .C = C, .covariance = updated, .terms = &terms, .updated = updated});
  for (std::int64_t slot = 0; slot < due.present; ++slot) count[classes[slot]] = 0;
}

// In the layout of Prepared::members.
void write_members(const Members& members, std::int64_t N, std::int32_t* to) {
  *to = static_cast<std::int32_t>(members.present);
  std::copy_n(members.classes, members.present, to + 1);
  std::copy_n(members.begin, members.present + 1, to + 1 + members.most);
  std::copy_n(members.samples, N, to + 2 + 2 * members.most);
}

// u (K,C,A), q (K,C): U' and Q'.
void add_terms(const Context& context, const Terms& terms, const IsdaPreparedHead& op, float* u, float* q) {
  const Members& members = terms.members;
  const auto [C, A] = op.weight.extents<2>();
  const auto *weight = op.weight.as<float>(), *u_before = static_cast<const ConstView&>(op.prepared.u).as<float>();
  const auto* q_before = static_cast<const ConstView&>(op.prepared.q).as<float>();
  const std::int64_t units = members.present * C, terms_of_all = members.begin[members.present] + members.present;
  parallel_ranges(context, units, grain_of(context, units, 6.0 * static_cast<double>(terms_of_all * C * A)),
                  [&, C = C, A = A](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t unit = begin; unit < end; ++unit) {
                      const std::int64_t slot = unit / C;
                      const float *own = weight + members.classes[slot] * A, *other = weight + unit % C * A, keep = terms.keep[slot];
                      float* row = u + unit * A;
                      for (std::int64_t a = 0; a < A; ++a) row[a] = keep * u_before[unit * A + a];
                      float sum = keep * q_before[unit];
                      for (std::int64_t k = 0; k < terms.rank(slot); ++k) {
                        const float* z = terms.row(slot) + k * A;
                        float t = 0;
#pragma omp simd reduction(+ : t)
                        for (std::int64_t a = 0; a < A; ++a) t += z[a] * (other[a] - own[a]);
                        sum += t * t;
                        for (std::int64_t a = 0; a < A; ++a) row[a] += t * z[a];
                      }
                      q[unit] = sum;
                    }
                  });
}

// The terms of this batch are pending from now on.
void leave_pending(const Terms& terms, const PendingTerms& pending, std::int64_t C) {
  auto *count = pending.count.as<std::int32_t>(), *first = pending.first.as<std::int32_t>();
  auto *keep = pending.keep.as<float>(), *rows = pending.rows.as<float>();
  const Members& members = terms.members;
  for (std::int64_t slot = 0; slot < members.present; ++slot) {
    const std::int64_t c = members.classes[slot], rank = terms.rank(slot);
    const std::int64_t to = rank <= pending.of_class ? c * pending.of_class : C * pending.of_class + members.begin[slot] + slot;
    count[c] = static_cast<std::int32_t>(rank);
    first[c] = static_cast<std::int32_t>(to);
    keep[c] = terms.keep[slot];
    std::copy_n(terms.row(slot), rank * terms.A, rows + to * terms.A);
  }
}

}  // namespace

void run(Cpu, const Context& context, const IsdaPrepare& op) {
  check_cpu(op.name, op.weight);
  const auto [C, A] = op.weight.extents<2>();
  const std::int64_t N = op.labels.size();
  check_labels(op.name, op.labels, C);
  Scratch scratch = context.scratch();
  auto* slots = op.prepared.slots.as<std::int32_t>();
  const Members members = members_of(scratch, op.labels.as<std::int32_t>(), N, C, slots);
  write_members(members, N, op.prepared.members.as<std::int32_t>());
  auto* count = op.pending.count.as<std::int32_t>();
  settle_classes(context, op.covariance, op.pending, [&](std::int64_t c) { return slots[c] < 0 && count[c] > op.pending.of_class; });

  // One pass over the covariances of present classes.
  const std::int64_t parts = strips_of(A);
  float* q_parts = scratch.take<float>(members.most * parts * C);
  const Terms terms = terms_of(op.pending, members);
  auto* covariance = op.covariance.as<float>();
  run_pass(context, {.members = members,
                     .A = A,
                     .C = C,
                     .covariance = covariance,
                     .terms = &terms,
                     .updated = covariance,
                     .weight = op.weight.as<float>(),
                     .u = op.prepared.u.as<float>(),
                     .q = q_parts});
  auto* q = op.prepared.q.as<float>();
  for (std::int64_t slot = 0; slot < members.present; ++slot) {
    for (std::int64_t j = 0; j < C; ++j) {
      float sum = 0;
      for (std::int64_t part = 0; part < parts; ++part) sum += q_parts[(slot * parts + part) * C + j];
      q[slot * C + j] = sum;
    }
    count[members.classes[slot]] = 0;
  }
}

void run(Cpu, const Context& context, const IsdaPreparedHead& op) {
  check_cpu(op.name, op.x);
  const std::int64_t N = op.x.extent(0);
  const auto [C, A] = op.weight.extents<2>();
  check_labels(op.name, op.labels, C);
  check_slots(op.name, op.labels, op.prepared.slots);
  Scratch scratch = context.scratch();
  const auto made = [&](const Shape& shape) { return View(scratch.take<float>(shape.size()), DType::f32, shape); };

  const View features = made({N, A}), logits = made({N, C}), augmented = made({N, C}), u = made({std::min(N, C), C, A}), q = made({std::min(N, C), C});
  run(Cpu{}, context, GlobalAverage{.x = as_maps(op.x), .y = features});
  const Matrix weight{op.weight.as<float>(), A, 1};
  auto* z = logits.as<float>();
  gemm(context, {.M = N, .N = C, .K = A, .a = {features.as<float>(), A, 1}, .b = weight.transposed(), .c = z, .bias = op.bias.as<float>()});

  // The batch's terms, what they add to U and Q, and Q to the logits.
  const Members members = members_of(scratch, op.labels.as<std::int32_t>(), N, C, nullptr);
  const Terms terms = fold_batch(context, scratch, members, features.as<float>(), A, op.count.as<float>(), op.mean.as<float>());
  add_terms(context, terms, op, u.as<float>(), q.as<float>());
  leave_pending(terms, op.pending, C);
  const float ratio = *op.ratio.as<float>();
  for (std::int64_t slot = 0; slot < members.present; ++slot) {
    for (std::int32_t k = members.begin[slot]; k < members.begin[slot + 1]; ++k) {
      const std::int64_t at = members.samples[k] * C;
      for (std::int64_t j = 0; j < C; ++j) augmented.as<float>()[at + j] = ratio == 0 ? z[at + j] : z[at + j] + ratio / 2 * q.as<float>()[slot * C + j];
    }
  }

  const ConstView full(nullptr, DType::f32, {C, A, A});
  finish_on_host(Cpu{}, context, op, {.features = features, .logits = logits, .augmented = augmented, .covariance = full, .slots = op.prepared.slots, .u = u},
                 made);
}

void run(Cpu, const Context& context, const IsdaSettle& op) {
  check_cpu(op.name, op.covariance);
  settle_classes(context, op.covariance, op.pending, [](std::int64_t) { return true; });
}

}  // namespace isda::kernels
