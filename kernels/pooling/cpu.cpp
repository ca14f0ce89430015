// SPDX-License-Identifier: Apache-2.0
// One image at a time per thread; channels are the inner, vectorised loop, so that x is read in order.
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/common/parallel.h"
#include "kernels/pooling/pooling.h"

namespace isda::kernels {

void run(Cpu, const Context& context, const GlobalAverage& op) {
  check_cpu(op.name, op.x);
  const auto [N, H, W, C] = op.x.extents<4>();
  const float scale = 1.0f / static_cast<float>(H * W);
  parallel_for(context, N, [&, pixels = H * W, channels = C](std::int64_t n) {
    const float* x = op.x.as<float>() + n * pixels * channels;
    float* y = op.y.as<float>() + n * channels;
    std::fill_n(y, channels, 0.0f);
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (std::int64_t c = 0; c < channels; ++c) y[c] += x[pixel * channels + c];
    }
    for (std::int64_t c = 0; c < channels; ++c) y[c] *= scale;
  });
}

void run(Cpu, const Context& context, const GlobalAverageBackward& op) {
  check_cpu(op.name, op.dx);
  const auto [N, H, W, C] = op.dx.extents<4>();
  const float scale = 1.0f / static_cast<float>(H * W);
  parallel_for(context, N, [&, pixels = H * W, channels = C](std::int64_t n) {
    const float* dy = op.dy.as<float>() + n * channels;
    float* dx = op.dx.as<float>() + n * pixels * channels;
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (std::int64_t c = 0; c < channels; ++c) dx[pixel * channels + c] = dy[c] * scale;
    }
  });
}

}  // namespace isda::kernels
