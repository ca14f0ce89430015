// SPDX-License-Identifier: Apache-2.0
// The factors of the classes that are present, a thread a class: L^T by rows, each taken from all below it as soon as it is known. Then the draws, a thread
// a sample: a row of L^T times its normal number is added to the whole draw at once.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/common/check.h"
#include "kernels/common/parallel.h"
#include "kernels/isda/members.h"
#include "kernels/isda_draw/isda_draw.h"

namespace isda::kernels {

namespace {

// rows (A,A): row k holds L[a,k] for a >= k.
void factor(const float* S, std::int64_t A, float* rows) {
  float largest = 0;
  for (std::int64_t a = 0; a < A; ++a) largest = std::max(largest, S[a * A + a]);
  const float least = static_cast<float>(least_pivot(A)) * largest;
  std::copy_n(S, A * A, rows);
  for (std::int64_t k = 0; k < A; ++k) {
    float* row = rows + k * A;
    const float pivot = row[k], scale = pivot > least ? 1 / std::sqrt(pivot) : 0;
    for (std::int64_t a = k; a < A; ++a) row[a] *= scale;
    if (scale == 0) continue;
    for (std::int64_t below = k + 1; below < A; ++below) {
      float* other = rows + below * A;
      const float share = row[below];
#pragma omp simd
      for (std::int64_t a = below; a < A; ++a) other[a] -= share * row[a];
    }
  }
}

// The normal numbers of a draw.
void fill_normal(const IsdaDraw& op, std::int32_t step, std::int64_t draw, std::int64_t count, float* numbers) {
  for (std::int64_t k = 0; k < count; k += 2) {
    const PhiloxCounter words = words_of_draw(op.seed, step, draw, k / 4);
    const auto pair = static_cast<std::size_t>(k % 4);
    // NOTE: from above 0 to 1, for the logarithm's sake.
    const float radius = std::sqrt(-2 * std::log(static_cast<float>((words[pair] >> 8) + 1) * 0x1p-24f));
    const float angle = 2 * std::numbers::pi_v<float> * uniform_float(words[pair + 1]);
    numbers[k] = radius * std::cos(angle);
    if (k + 1 < count) numbers[k + 1] = radius * std::sin(angle);
  }
}

}  // namespace

void run(Cpu, const Context& context, const IsdaDraw& op) {
  check_cpu(op.name, op.features);
  const auto [N, A] = op.features.extents<2>();
  const std::int64_t C = op.covariance.extent(0);
  check_labels(op.name, op.labels, C);
  const bool is_full = kernels::is_full(op.covariance);
  const std::int64_t R = is_low_rank(op.covariance) ? directions_of(op.covariance) : 0, first = first_of_diagonal(R), numbers_of_draw = first + A;
  const auto* labels = op.labels.as<std::int32_t>();
  const auto *covariance = op.covariance.as<float>(), *features = op.features.as<float>();
  Scratch scratch = context.scratch();
  auto* slots = scratch.take<std::int32_t>(C);
  const Members members = members_of(scratch, labels, N, C, slots);
  auto* factors = scratch.take<float>(is_full ? members.most * A * A : 1);
  if (is_full) {
    parallel_for(context, members.present, [&, A = A](std::int64_t slot) { factor(covariance + members.classes[slot] * A * A, A, factors + slot * A * A); });
  }

  const float strength = std::sqrt(*op.ratio.as<float>());
  const std::int32_t step = *op.step.as<std::int32_t>();
  auto* numbers_of_threads = scratch.take<float>(context.threads() * numbers_of_draw);
  parallel_for(context, N, [&, A = A](std::int64_t i, int thread) {
    float* numbers = numbers_of_threads + thread * numbers_of_draw;
    for (std::int64_t draw = i * op.draws; draw < (i + 1) * op.draws; ++draw) {
      fill_normal(op, step, draw, numbers_of_draw, numbers);
      float* out = op.drawn.as<float>() + draw * A;
      if (is_full) {
        const float* rows = factors + slots[labels[i]] * A * A;
        std::fill_n(out, A, 0.0f);
        for (std::int64_t k = 0; k < A; ++k) {
#pragma omp simd
          for (std::int64_t a = k; a < A; ++a) out[a] += rows[k * A + a] * numbers[k];
        }
      } else {
        const float* of_class = covariance + labels[i] * (1 + R) * A;
        for (std::int64_t a = 0; a < A; ++a) out[a] = std::sqrt(of_class[a]) * numbers[first + a];
        for (std::int64_t r = 0; r < R; ++r) {
#pragma omp simd
          for (std::int64_t a = 0; a < A; ++a) out[a] += of_class[(1 + r) * A + a] * numbers[r];
        }
      }
      for (std::int64_t a = 0; a < A; ++a) out[a] = features[i * A + a] + strength * out[a];
      op.labels_of_drawn.as<std::int32_t>()[draw] = labels[i];
    }
  });
  *op.step.as<std::int32_t>() = step + 1;
}

void run(Cpu, const Context& context, const IsdaDrawBackward& op) {
  check_cpu(op.name, op.ddrawn);
  const auto [N, A] = op.dfeatures.extents<2>();
  const std::int64_t M = op.ddrawn.extent(0) / N;
  parallel_for(context, N, [&, A = A](std::int64_t i) {
    const float* from = op.ddrawn.as<float>() + i * M * A;
    float* to = op.dfeatures.as<float>() + i * A;
    std::copy_n(from, A, to);
    for (std::int64_t m = 1; m < M; ++m) {
      for (std::int64_t a = 0; a < A; ++a) to[a] += from[m * A + a];
    }
  });
}

}  // namespace isda::kernels
