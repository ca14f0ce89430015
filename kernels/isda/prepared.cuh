// SPDX-License-Identifier: Apache-2.0
// The arguments of the head in two parts as its kernels take them.
#pragma once
#include "kernels/isda/prepared_head.h"
#include "kernels/isda/statistics.cuh"

namespace isda::kernels {

// In the layout of Prepared::members.
inline Membership membership_in(const View& members, std::int64_t samples, std::int64_t classes) {
  const auto most = static_cast<int>(samples < classes ? samples : classes);
  auto* memory = members.as<int>();
  return {.most = most, .present = memory, .classes = memory + 1, .begin = memory + 1 + most, .samples = memory + 2 + 2 * most};
}

inline CovarianceTerms terms_of(const PendingTerms& pending) {
  return {.rows = pending.rows.as<float>(),
          .keep = pending.keep.as<float>(),
          .first = pending.first.as<std::int32_t>(),
          .count = pending.count.as<std::int32_t>(),
          .of_class = static_cast<int>(pending.of_class)};
}

}  // namespace isda::kernels
