// SPDX-License-Identifier: Apache-2.0
// Loops over the rows of a (rows, channels) array on the cpu device: several rows at a time, so that what belongs to a channel
// (its mean, its running sums) is loaded and stored once for all of them.
//
//   for_row_groups<8>(begin, end, [&]<int rows>(std::int64_t row) {
//   #pragma omp simd
//     for (std::int64_t c = 0; c < C; ++c) { ... for (int r = 0; r < rows; ++r) ... x[(row + r) * C + c] ... }
//   });
#pragma once
#include <cstdint>

namespace isda {

// Calls body<group>(row) while `group` rows are left in [begin, end), then body<1>(row) for each of the rest.
template <int group, class Body>
void for_row_groups(std::int64_t begin, std::int64_t end, Body&& body) {
  for (; begin + group <= end; begin += group) body.template operator()<group>(begin);
  for (; begin < end; ++begin) body.template operator()<1>(begin);
}

// The sum of term(0) ... term(count - 1) in pairs: shorter chains of dependent additions, and less rounding, than from left to right.
template <int count, int first = 0, class Term>
[[gnu::always_inline]] inline float pairwise_sum(const Term& term) {
  if constexpr (count == 1)
    return term(first);
  else
    return pairwise_sum<count / 2, first>(term) + pairwise_sum<count - count / 2, first + count / 2>(term);
}

}  // namespace isda
