// SPDX-License-Identifier: Apache-2.0
// An image at a time: the mean of two, and then the box, row by row.
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/common/parallel.h"
#include "kernels/mix/mix.h"

namespace isda::kernels {

void run(Cpu, const Context& context, const Mix& op) {
  check_cpu(op.name, op.x);
  check_place(op);
  const auto [N, H, W, C] = op.x.extents<4>();
  const std::int64_t size = H * W * C;
  const float weight = *op.weight.as<float>(), rest = 1 - weight;
  const std::int32_t* place = op.place.as<std::int32_t>();
  parallel_for(context, N, [&, N = N, W = W, C = C](std::int64_t n) {
    const float *own = op.x.as<float>() + n * size, *other = op.x.as<float>() + (n + place[0]) % N * size;
    float* y = op.y.as<float>() + n * size;
    for (std::int64_t i = 0; i < size; ++i) y[i] = weight * own[i] + rest * other[i];
    for (std::int64_t h = place[1]; h < place[3]; ++h) {
      const std::int64_t first = (h * W + place[2]) * C, last = (h * W + place[4]) * C;
      if (first < last) std::copy(other + first, other + last, y + first);
    }
  });
}

}  // namespace isda::kernels
