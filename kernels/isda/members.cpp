// SPDX-License-Identifier: Apache-2.0
#include "kernels/isda/members.h"

#include <algorithm>
#include <cmath>

#include "kernels/common/parallel.h"

namespace isda::kernels {

Members members_of(Scratch& scratch, const std::int32_t* labels, std::int64_t N, std::int64_t C, std::int32_t* slots) {
  // Count the samples of each class.
  auto* position = scratch.take<std::int32_t>(C);
  std::fill_n(position, C, 0);
  for (std::int64_t i = 0; i < N; ++i) ++position[labels[i]];

  // Number the present classes; a class's samples begin where those of the class before it end.
  const std::int64_t most = std::min(N, C);
  auto* classes = scratch.take<std::int32_t>(most);
  auto* begin = scratch.take<std::int32_t>(most + 1);
  std::int32_t present = 0, next = 0;
  for (std::int64_t c = 0; c < C; ++c) {
    const std::int32_t count = position[c];
    if (slots) slots[c] = count > 0 ? present : -1;
    if (count == 0) continue;
    classes[present] = static_cast<std::int32_t>(c);
    begin[present++] = next;
    position[c] = next;
    next += count;
  }
  begin[present] = next;

  // Sort the samples by class.
  auto* samples = scratch.take<std::int32_t>(N);
  for (std::int64_t i = 0; i < N; ++i) samples[position[labels[i]]++] = static_cast<std::int32_t>(i);
  return {most, present, classes, begin, samples};
}

Terms fold_batch(const Context& context, Scratch& scratch, const Members& members, const float* features, std::int64_t A, float* count, float* mean) {
  const std::int64_t K = members.present, N = members.begin[K];
  float* rows = scratch.take<float>((N + members.most) * A);
  float* keep = scratch.take<float>(members.most);
  const Terms terms{.members = members, .A = A, .rows = rows, .keep = keep, .most = N + 1};

  const double flop = 4.0 * static_cast<double>((N + K) * A);
  parallel_ranges(context, K, grain_of(context, K, flop), [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t slot = first; slot < last; ++slot) {
      const std::int64_t c = members.classes[slot], m = members.count(slot);
      const std::int32_t* samples = members.samples + members.begin[slot];
      float* z = rows + (members.begin[slot] + slot) * A;
      float* mu = mean + c * A;
      float* nu = z + m * A;  // the batch mean, until its place is needed for the last term
      const float total = count[c] + static_cast<float>(m), w = static_cast<float>(m) / total;
      const float of_sample = std::sqrt(1 / total), of_shift = std::sqrt(w * (count[c] / total));
      keep[slot] = count[c] / total;

      std::copy_n(features + samples[0] * A, A, nu);
      for (std::int64_t k = 1; k < m; ++k) {
        const float* sample = features + samples[k] * A;
        for (std::int64_t a = 0; a < A; ++a) nu[a] += sample[a];
      }
      for (std::int64_t a = 0; a < A; ++a) nu[a] /= static_cast<float>(m);

      for (std::int64_t k = 0; k < m; ++k) {
        const float* sample = features + samples[k] * A;
        for (std::int64_t a = 0; a < A; ++a) z[k * A + a] = of_sample * (sample[a] - nu[a]);
      }
      for (std::int64_t a = 0; a < A; ++a) {
        const float shift = mu[a] - nu[a];
        mu[a] -= w * shift;
        nu[a] = of_shift * shift;
      }
      count[c] = total;
    }
  });
  return terms;
}

}  // namespace isda::kernels
