// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/common/grid.h"
#include "kernels/isda/host_checks.h"
#include "kernels/isda/host_head.h"
#include "kernels/isda/low_rank.h"
#include "kernels/isda/reference_parts.h"

namespace isda::kernels {

namespace {

// d V_c^T
Vector times_directions(const Vector& d, const ConstView& covariance, std::int64_t c) {
  Vector p(static_cast<std::size_t>(directions_of(covariance)), 0.0);
  for (std::size_t r = 0; r < p.size(); ++r) {
    for (std::size_t a = 0; a < d.size(); ++a) p[r] += d[a] * covariance.at(c, r + 1, a);
  }
  return p;
}

// d S_c
Vector times_covariance(const Vector& d, const ConstView& covariance, std::int64_t c) {
  Vector u(d.size(), 0.0);
  const Vector p = is_low_rank(covariance) ? times_directions(d, covariance, c) : Vector();
  for (std::size_t a = 0; a < d.size(); ++a) {
    if (is_diagonal(covariance)) {
      u[a] = d[a] * covariance.at(c, a);
    } else if (is_full(covariance)) {
      for (std::size_t b = 0; b < d.size(); ++b) u[b] += d[a] * covariance.at(c, a, b);
    } else {
      u[a] = d[a] * covariance.at(c, 0, a);
      for (std::size_t r = 0; r < p.size(); ++r) u[a] += p[r] * covariance.at(c, r + 1, a);
    }
  }
  return u;
}

// What the batch adds to the covariance of a class as a sum of z z^T (members.h).
std::vector<Vector> terms_of(const IsdaUpdate& op, const std::vector<std::int64_t>& samples, const Vector& nu, const Vector& shift, double w) {
  std::vector<Vector> terms(samples.size() + 1, Vector(nu.size()));
  for (std::size_t k = 0; k < samples.size(); ++k) {
    for (std::size_t a = 0; a < nu.size(); ++a) terms[k][a] = std::sqrt(w / static_cast<double>(samples.size())) * (op.features.at(samples[k], a) - nu[a]);
  }
  for (std::size_t a = 0; a < nu.size(); ++a) terms.back()[a] = std::sqrt(w * (1 - w)) * shift[a];
  return terms;
}

}  // namespace

void run(Reference, const Context&, const IsdaUpdate& op) {
  const std::int64_t A = op.features.extent(1), C = op.count.extent(0);
  check_labels(op.name, op.labels, C);
  for (std::int64_t c = 0; c < C; ++c) {
    const auto samples = samples_of(op.labels, c);
    if (samples.empty()) continue;
    const auto m = static_cast<double>(samples.size());
    const double w = m / (op.count.at(c) + m);

    Vector nu(static_cast<std::size_t>(A), 0.0), shift(nu);
    for (std::size_t a = 0; a < nu.size(); ++a) {
      for (const auto i : samples) nu[a] += op.features.at(i, a) / m;
      shift[a] = op.mean.at(c, a) - nu[a];
    }

    const auto updated = [&](double old, std::size_t a, std::size_t b) {
      double v = 0;
      for (const auto i : samples) v += (op.features.at(i, a) - nu[a]) * (op.features.at(i, b) - nu[b]) / m;
      return (1 - w) * old + w * v + w * (1 - w) * (shift[a] * shift[b]);
    };
    for (std::size_t a = 0; a < nu.size() && is_diagonal(op.covariance); ++a) op.covariance.set(updated(op.covariance.at(c, a), a, a), c, a);
    for (const auto [a, b] : grid(A, A)) {
      if (!is_full(op.covariance)) break;
      op.covariance.set(updated(op.covariance.at(c, a, b), static_cast<std::size_t>(a), static_cast<std::size_t>(b)), c, a, b);
    }
    if (is_low_rank(op.covariance)) low_rank::add_terms(op.covariance, c, 1 - w, terms_of(op, samples, nu, shift, w));

    for (std::size_t a = 0; a < nu.size(); ++a) op.mean.set((1 - w) * op.mean.at(c, a) + w * nu[a], c, a);
    op.count.set(op.count.at(c) + m, c);
  }
}

void run(Reference, const Context&, const IsdaForward& op) {
  const auto [N, A] = op.features.extents<2>();
  const std::int64_t C = op.weight.extent(0);
  check_labels(op.name, op.labels, C);
  const double ratio = op.ratio.at(0);

  for (const auto [i, j] : grid(N, C)) {
    double z = op.bias ? op.bias.at(j) : 0;
    for (std::int64_t a = 0; a < A; ++a) z += op.features.at(i, a) * op.weight.at(j, a);
    op.logits.set(z, i, j);
    op.augmented_logits.set(z, i, j);
  }

  std::int64_t slot = 0;
  for (std::int64_t c = 0; c < C; ++c) {
    const auto samples = samples_of(op.labels, c);
    op.slots.set(samples.empty() ? -1 : static_cast<double>(slot), c);
    if (samples.empty()) continue;
    for (std::int64_t j = 0; j < C; ++j) {
      const Vector d = difference(op.weight, j, c);
      const Vector u = times_covariance(d, op.covariance, c);
      if (op.u) {
        const Vector kept = is_low_rank(op.covariance) ? times_directions(d, op.covariance, c) : u;
        for (std::size_t a = 0; a < kept.size(); ++a) op.u.set(kept[a], slot, j, a);
      }
      // NOTE: no ratio, no correction, not even that of an infinite covariance.
      if (ratio == 0) continue;
      for (const auto i : samples) op.augmented_logits.set(op.logits.at(i, j) + ratio / 2 * dot(u, d), i, j);
    }
    ++slot;
  }
}

void run(Reference, const Context& context, const IsdaUpdateForward& op) {
  check_labels(op.name, op.labels, op.weight.extent(0));
  run(Reference{}, context, update_of(op));
  run(Reference{}, context, forward_of(op));
}

void run(Reference, const Context&, const IsdaBackward& op) {
  const auto [N, C] = op.daugmented.extents<2>();
  const std::int64_t A = op.features.extent(1);
  check_labels(op.name, op.labels, C);
  check_slots(op.name, op.labels, op.slots);
  const double ratio = op.ratio.at(0);

  for (const auto [i, a] : grid(N, A)) {
    double sum = 0;
    for (std::int64_t j = 0; j < C; ++j) sum += op.daugmented.at(i, j) * op.weight.at(j, a);
    op.dfeatures.set(sum, i, a);
  }

  Vector dweight(static_cast<std::size_t>(C * A), 0.0), dbias(static_cast<std::size_t>(C), 0.0);
  for (const auto [i, j] : grid(N, C)) {
    const double g = op.daugmented.at(i, j);
    dbias[static_cast<std::size_t>(j)] += g;
    for (std::int64_t a = 0; a < A; ++a) dweight[static_cast<std::size_t>(j * A + a)] += g * op.features.at(i, a);
  }

  for (const auto [c, j] : grid(C, C)) {
    const auto samples = samples_of(op.labels, c);
    if (samples.empty() || ratio == 0) continue;
    double gc = 0;
    for (const auto i : samples) gc += op.daugmented.at(i, j);
    const bool has_u = is_full(op.covariance);
    Vector u = has_u ? Vector(static_cast<std::size_t>(A)) : times_covariance(difference(op.weight, j, c), op.covariance, c);
    for (std::size_t a = 0; a < u.size(); ++a) {
      if (has_u) u[a] = op.u.at(static_cast<std::int64_t>(op.slots.at(c)), j, a);
      dweight[static_cast<std::size_t>(j * A) + a] += ratio * gc * u[a];
      dweight[static_cast<std::size_t>(c * A) + a] -= ratio * gc * u[a];
    }
  }
  for (const auto [c, a] : grid(C, A)) op.dweight.set(dweight[static_cast<std::size_t>(c * A + a)], c, a);
  if (op.dbias) {
    for (std::int64_t c = 0; c < C; ++c) op.dbias.set(dbias[static_cast<std::size_t>(c)], c);
  }
}

void run(Reference, const Context& context, const IsdaHead& op) {
  const std::int64_t N = op.x.extent(0);
  const auto [C, A] = op.weight.extents<2>();
  check_labels(op.name, op.labels, C);
  Doubles make;
  const View features = make({N, A}), logits = make({N, C}), augmented = make({N, C});
  const View u = is_diagonal(op.covariance) ? View() : make({std::min(N, C), C, width_of_u(op.covariance)});
  std::vector<std::int32_t> slot_numbers(static_cast<std::size_t>(C));
  const View slots(slot_numbers.data(), DType::i32, {C});
  run(Reference{}, context, GlobalAverage{.x = as_maps(op.x), .y = features});
  run(Reference{}, context,
      IsdaUpdateForward{.features = features,
                        .labels = op.labels,
                        .weight = op.weight,
                        .bias = op.bias,
                        .ratio = op.ratio,
                        .count = op.count,
                        .mean = op.mean,
                        .covariance = op.covariance,
                        .logits = logits,
                        .augmented_logits = augmented,
                        .slots = slots,
                        .u = u});
  const CorrectedLogits corrected{.features = features, .logits = logits, .augmented = augmented, .covariance = op.covariance, .slots = slots, .u = u};
  finish_on_host(Reference{}, context, op, corrected, make);
}

}  // namespace isda::kernels
