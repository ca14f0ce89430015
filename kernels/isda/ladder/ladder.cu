// SPDX-License-Identifier: Apache-2.0
#include "kernels/isda/ladder/ladder.h"

#include <algorithm>
#include <string_view>

namespace isda::kernels::ladder {

namespace {

std::vector<Level>& list() {
  static std::vector<Level> levels;
  return levels;
}

}  // namespace

const std::vector<Level>& levels() { return list(); }

Declare::Declare(const Level& level) {
  const auto is_before = [](const Level& a, const Level& b) { return std::string_view(a.name) < b.name; };
  list().insert(std::lower_bound(list().begin(), list().end(), level, is_before), level);
}

void run(const Context& context, const Level& level, const IsdaHead& op) {
  check(op);
  require(op.covariance.shape().rank() == 3,
          "[isda_ladder] covariance is {}, expected (C,A,A): the ladder is one of full covariances; run IsdaHead for diagonal ones", op.covariance.shape());
  const cuda::Range range(level.name);
  level.run(context, op);
}

}  // namespace isda::kernels::ladder
