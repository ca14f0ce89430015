// SPDX-License-Identifier: Apache-2.0
// The definition of the head in two parts, by the formulas of prepared_head.h.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/common/grid.h"
#include "kernels/isda/host_checks.h"
#include "kernels/isda/host_head.h"
#include "kernels/isda/prepared_head.h"
#include "kernels/isda/reference_parts.h"

namespace isda::kernels {

namespace {

// What is pending of class c reaches its covariance.
void settle(const View& covariance, const PendingTerms& pending, std::int64_t c) {
  const auto count = static_cast<std::int64_t>(pending.count.at(c)), first = static_cast<std::int64_t>(pending.first.at(c));
  if (count == 0) return;
  const std::int64_t A = covariance.extent(1);
  for (const auto [a, b] : grid(A, A)) {
    double sum = pending.keep.at(c) * covariance.at(c, a, b);
    for (std::int64_t k = first; k < first + count; ++k) sum += pending.rows.at(k, a) * pending.rows.at(k, b);
    covariance.set(sum, c, a, b);
  }
  pending.count.set(0, c);
}

// The batch by classes.
struct Batch {
  std::vector<std::int64_t> classes;               // those present
  std::vector<std::vector<std::int64_t>> samples;  // of each

  Batch(const ConstView& labels, std::int64_t C) {
    for (std::int64_t c = 0; c < C; ++c) {
      const auto own = samples_of(labels, c);
      if (own.empty()) continue;
      classes.push_back(c);
      samples.push_back(own);
    }
  }
  std::size_t present() const { return classes.size(); }
};

// Folds the samples of class c into count and mean; their terms are pending from now on, from row `first` on.
void fold(const IsdaPreparedHead& op, const ConstView& features, std::int64_t c, const std::vector<std::int64_t>& samples, std::int64_t first) {
  const auto m = static_cast<double>(samples.size());
  const double n = op.count.at(c), total = n + m, keep = n / total;
  for (std::int64_t a = 0; a < features.extent(1); ++a) {
    double nu = 0;
    for (const auto i : samples) nu += features.at(i, a) / m;
    const double shift = op.mean.at(c, a) - nu;
    std::int64_t row = first;
    for (const auto i : samples) op.pending.rows.set(std::sqrt(1 / total) * (features.at(i, a) - nu), row++, a);
    op.pending.rows.set(std::sqrt(keep * m / total) * shift, row, a);
    op.mean.set(op.mean.at(c, a) - m / total * shift, c, a);
  }
  op.count.set(total, c);
  op.pending.count.set(m + 1, c);
  op.pending.first.set(static_cast<double>(first), c);
  op.pending.keep.set(keep, c);
}

}  // namespace

void run(Reference, const Context&, const IsdaPrepare& op) {
  const auto [C, A] = op.weight.extents<2>();
  check_labels(op.name, op.labels, C);
  const Batch batch(op.labels, C);
  const std::int64_t most = std::min(op.labels.size(), C), begin = 1 + most, samples = begin + most + 1;

  // Sort the batch by class.
  const auto& [slots, members, u, q] = op.prepared;
  for (std::int64_t c = 0; c < C; ++c) slots.set(-1, c);
  members.set(static_cast<double>(batch.present()), 0);
  std::int64_t next = 0;
  for (std::size_t slot = 0; slot < batch.present(); ++slot) {
    const auto at = static_cast<std::int64_t>(slot);
    slots.set(static_cast<double>(slot), batch.classes[slot]);
    members.set(static_cast<double>(batch.classes[slot]), 1 + at);
    members.set(static_cast<double>(next), begin + at);
    for (const auto i : batch.samples[slot]) members.set(static_cast<double>(i), samples + next++);
  }
  members.set(static_cast<double>(next), begin + static_cast<std::int64_t>(batch.present()));

  // Add what is pending: of present classes, and what the next head would overwrite.
  for (std::int64_t c = 0; c < C; ++c) {
    if (slots.at(c) >= 0 || op.pending.count.at(c) > static_cast<double>(op.pending.of_class)) settle(op.covariance, op.pending, c);
  }

  // Multiply.
  for (std::int64_t slot = 0; slot < static_cast<std::int64_t>(batch.present()); ++slot) {
    const std::int64_t c = batch.classes[static_cast<std::size_t>(slot)];
    for (std::int64_t j = 0; j < C; ++j) {
      const Vector d = difference(op.weight, j, c);
      double product = 0;
      for (std::size_t b = 0; b < d.size(); ++b) {
        double sum = 0;
        for (std::size_t a = 0; a < d.size(); ++a) sum += d[a] * op.covariance.at(c, a, b);
        u.set(sum, slot, j, b);
        product += sum * d[b];
      }
      q.set(product, slot, j);
    }
  }
}

void run(Reference, const Context& context, const IsdaPreparedHead& op) {
  const std::int64_t N = op.x.extent(0);
  const auto [C, A] = op.weight.extents<2>();
  check_labels(op.name, op.labels, C);
  check_slots(op.name, op.labels, op.prepared.slots);
  const Batch batch(op.labels, C);
  const double ratio = op.ratio.at(0);
  Doubles make;
  const View features = make({N, A}), logits = make({N, C}), augmented = make({N, C}), u = make({std::min(N, C), C, A});
  run(Reference{}, context, GlobalAverage{.x = as_maps(op.x), .y = features});
  for (const auto [i, j] : grid(N, C)) {
    double z = op.bias ? op.bias.at(j) : 0;
    for (std::int64_t a = 0; a < A; ++a) z += features.at(i, a) * op.weight.at(j, a);
    logits.set(z, i, j);
    augmented.set(z, i, j);
  }

  std::int64_t behind = C * op.pending.of_class;
  for (std::size_t slot = 0; slot < batch.present(); ++slot) {
    const std::int64_t c = batch.classes[slot], at = static_cast<std::int64_t>(slot);
    const auto terms = static_cast<std::int64_t>(batch.samples[slot].size()) + 1;
    const std::int64_t first = terms <= op.pending.of_class ? c * op.pending.of_class : behind;
    behind += terms;
    fold(op, features, c, batch.samples[slot], first);
    // U'_c and Q'[c,j]
    const double keep = op.pending.keep.at(c);
    for (std::int64_t j = 0; j < C; ++j) {
      const Vector d = difference(op.weight, j, c);
      double q = keep * op.prepared.q.at(at, j);
      for (std::int64_t a = 0; a < A; ++a) u.set(keep * op.prepared.u.at(at, j, a), at, j, a);
      for (std::int64_t k = first; k < first + terms; ++k) {
        double t = 0;
        for (std::size_t a = 0; a < d.size(); ++a) t += op.pending.rows.at(k, a) * d[a];
        q += t * t;
        for (std::int64_t a = 0; a < A; ++a) u.set(u.at(at, j, a) + t * op.pending.rows.at(k, a), at, j, a);
      }
      if (ratio == 0) continue;
      for (const auto i : batch.samples[slot]) augmented.set(logits.at(i, j) + ratio / 2 * q, i, j);
    }
  }

  const ConstView full(nullptr, DType::f64, {C, A, A});
  finish_on_host(Reference{}, context, op,
                 {.features = features, .logits = logits, .augmented = augmented, .covariance = full, .slots = op.prepared.slots, .u = u}, make);
}

void run(Reference, const Context&, const IsdaSettle& op) {
  for (std::int64_t c = 0; c < op.covariance.extent(0); ++c) settle(op.covariance, op.pending, c);
}

}  // namespace isda::kernels
