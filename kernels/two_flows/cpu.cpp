// SPDX-License-Identifier: Apache-2.0
// Two flows on the cpu device: a row of the written image at a time.
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/common/parallel.h"
#include "kernels/two_flows/two_flows.h"

namespace isda::kernels {

void run(Cpu, const Context& context, const TwoFlows& op) {
  check_cpu(op.name, op.x);
  const auto [N, H, W, C] = op.x.extents<4>();
  const std::int64_t P = op.y.extent(1), Q = op.y.extent(2);
  parallel_for(context, N * P, [=, H = H, W = W, C = C, stride = op.stride, x = op.x.as<float>(), y = op.y.as<float>()](std::int64_t index) {
    const std::int64_t image = index / P, p = index % P;
    for (std::int64_t q = 0; q < Q; ++q) {
      for (const int flow : {0, 1}) {
        const std::int64_t h = p * stride - flow, w = q * stride - flow;
        float* to = y + (index * Q + q) * 2 * C + flow * C;
        if (h >= 0 && w >= 0)
          std::copy_n(x + ((image * H + h) * W + w) * C, C, to);
        else
          std::fill_n(to, C, 0.0f);
      }
    }
  });
}

void run(Cpu, const Context& context, const TwoFlowsBackward& op) {
  check_cpu(op.name, op.dx);
  const auto [N, H, W, C] = op.dx.extents<4>();
  const std::int64_t P = op.dy.extent(1), Q = op.dy.extent(2);
  parallel_for(context, N * H, [=, H = H, W = W, C = C, stride = op.stride, dy = op.dy.as<float>(), dx = op.dx.as<float>()](std::int64_t index) {
    const std::int64_t image = index / H, h = index % H;
    std::fill_n(dx + index * W * C, W * C, 0.0f);
    for (std::int64_t w = 0; w < W; ++w) {
      for (const int flow : {0, 1}) {
        const auto [row, column] = taken_by(flow, h, w, stride, P, Q);
        if (row < 0) continue;
        const float* from = dy + ((image * P + row) * Q + column) * 2 * C + flow * C;
        float* to = dx + (index * W + w) * C;
#pragma omp simd
        for (std::int64_t c = 0; c < C; ++c) to[c] += from[c];
      }
    }
  });
}

}  // namespace isda::kernels
