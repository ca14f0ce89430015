// SPDX-License-Identifier: Apache-2.0
// Pooling on the cpu device. Channels are the inner, vectorised loop, so that x is read in order. A thread owns one row of the
// result at a time, backward too: an element of dx gathers from the windows that cover it.
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/common/lanes.h"
#include "kernels/common/parallel.h"
#include "kernels/pooling/pooling.h"
#include "kernels/pooling/window.h"

namespace isda::kernels {

namespace {

// best = max(best, x), and where x is the winner; the first of equals stays, a NaN wins.
template <bool has_indices>
void take_larger(const float* x, std::int32_t place, std::int64_t C, float* best, std::int32_t* winner) {
#pragma omp simd
  for (std::int64_t c = 0; c < C; ++c) {
    const float value = x[c];
    const bool is_larger = (value > best[c]) | (value != value);
    best[c] = is_larger ? value : best[c];
    if constexpr (has_indices) winner[c] = is_larger ? place : winner[c];
  }
}

void add(const float* x, std::int64_t C, float* sum) {
#pragma omp simd
  for (std::int64_t c = 0; c < C; ++c) sum[c] += x[c];
}

void multiply(float factor, std::int64_t C, float* x) {
#pragma omp simd
  for (std::int64_t c = 0; c < C; ++c) x[c] *= factor;
}

}  // namespace

void run(Cpu, const Context& context, const GlobalAverage& op) {
  check_cpu(op.name, op.x);
  const std::int64_t pixels = op.x.extent(1) * op.x.extent(2), C = op.x.extent(3);
  const float share = 1.0f / static_cast<float>(pixels);
  parallel_for(context, op.x.extent(0), [=, images = op.x.as<float>(), means = op.y.as<float>()](std::int64_t n) {
    const float* x = images + n * pixels * C;
    float* y = means + n * C;
    for_strips(C, [=]<class V, int count>(std::int64_t c) {
      V sum[count]{};
      for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
        for (int v = 0; v < count; ++v) sum[v] += load<V>(x + pixel * C + c, v);
      }
      for (int v = 0; v < count; ++v) store(y + c, v, V(sum[v] * share));
    });
  });
}

void run(Cpu, const Context& context, const GlobalAverageBackward& op) {
  check_cpu(op.name, op.dx);
  const std::int64_t pixels = op.dx.extent(1) * op.dx.extent(2), C = op.dx.extent(3);
  const float share = 1.0f / static_cast<float>(pixels);
  parallel_for(context, op.dx.extent(0), [=, gradients = op.dy.as<float>(), images = op.dx.as<float>()](std::int64_t n) {
    const float* dy = gradients + n * C;
    float* dx = images + n * pixels * C;
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
#pragma omp simd
      for (std::int64_t c = 0; c < C; ++c) dx[pixel * C + c] = dy[c] * share;
    }
  });
}

void run(Cpu, const Context& context, const MaxPool2d& op) {
  check_cpu(op.name, op.x);
  const std::int64_t H = op.x.extent(1), W = op.x.extent(2), C = op.x.extent(3), P = op.y.extent(1), Q = op.y.extent(2);
  const Window window = window_of(op);
  const float* images = op.x.as<float>();
  float* y = op.y.as<float>();
  auto* indices = op.indices.as<std::int32_t>();
  parallel_for(context, op.x.extent(0) * P, [=](std::int64_t row) {
    const float* x = images + row / P * H * W * C;
    const auto [h_begin, h_end] = window.places(row % P, H);
    for (std::int64_t q = 0; q < Q; ++q) {
      const auto [w_begin, w_end] = window.places(q, W);
      float* best = y + (row * Q + q) * C;
      std::int32_t* winner = indices ? indices + (row * Q + q) * C : nullptr;
      // The first place wins, until a larger one comes.
      std::copy_n(x + (h_begin * W + w_begin) * C, C, best);
      if (winner) std::fill_n(winner, C, static_cast<std::int32_t>(h_begin * W + w_begin));
      for (std::int64_t h = h_begin; h < h_end; ++h) {
        for (std::int64_t w = w_begin; w < w_end; ++w) {
          const std::int64_t place = h * W + w;
          if (winner)
            take_larger<true>(x + place * C, static_cast<std::int32_t>(place), C, best, winner);
          else
            take_larger<false>(x + place * C, 0, C, best, nullptr);
        }
      }
    }
  });
}

void run(Cpu, const Context& context, const MaxPool2dBackward& op) {
  check_cpu(op.name, op.dx);
  const std::int64_t H = op.dx.extent(1), W = op.dx.extent(2), C = op.dx.extent(3), P = op.dy.extent(1), Q = op.dy.extent(2);
  const Window window = window_of(op);
  const float* dy = op.dy.as<float>();
  const auto* indices = op.indices.as<std::int32_t>();
  float* dx = op.dx.as<float>();
  parallel_for(context, op.dx.extent(0) * H, [=](std::int64_t row) {
    const std::int64_t n = row / H, h = row % H;
    const auto [p_begin, p_end] = window.covering(h, P);
    for (std::int64_t w = 0; w < W; ++w) {
      const auto place = static_cast<std::int32_t>(h * W + w);
      const auto [q_begin, q_end] = window.covering(w, Q);
      float* sum = dx + (row * W + w) * C;
      std::fill_n(sum, C, 0.0f);
      for (std::int64_t p = p_begin; p < p_end; ++p) {
        for (std::int64_t q = q_begin; q < q_end; ++q) {
          const std::int64_t from = ((n * P + p) * Q + q) * C;
#pragma omp simd
          for (std::int64_t c = 0; c < C; ++c) {
            const float gradient = dy[from + c];
            sum[c] += indices[from + c] == place ? gradient : 0.0f;
          }
        }
      }
    }
  });
}

void run(Cpu, const Context& context, const AveragePool2d& op) {
  check_cpu(op.name, op.x);
  const std::int64_t H = op.x.extent(1), W = op.x.extent(2), C = op.x.extent(3), P = op.y.extent(1), Q = op.y.extent(2);
  const Window window = window_of(op);
  const float share = 1.0f / static_cast<float>(op.kernel * op.kernel);
  const float* images = op.x.as<float>();
  float* y = op.y.as<float>();
  parallel_for(context, op.x.extent(0) * P, [=](std::int64_t row) {
    const float* x = images + row / P * H * W * C;
    const auto [h_begin, h_end] = window.places(row % P, H);
    for (std::int64_t q = 0; q < Q; ++q) {
      const auto [w_begin, w_end] = window.places(q, W);
      float* sum = y + (row * Q + q) * C;
      std::fill_n(sum, C, 0.0f);
      for (std::int64_t h = h_begin; h < h_end; ++h) {
        for (std::int64_t w = w_begin; w < w_end; ++w) add(x + (h * W + w) * C, C, sum);
      }
      multiply(share, C, sum);
    }
  });
}

void run(Cpu, const Context& context, const AveragePool2dBackward& op) {
  check_cpu(op.name, op.dx);
  const std::int64_t H = op.dx.extent(1), W = op.dx.extent(2), C = op.dx.extent(3), P = op.dy.extent(1), Q = op.dy.extent(2);
  const Window window = window_of(op);
  const float share = 1.0f / static_cast<float>(op.kernel * op.kernel);
  const float* dy = op.dy.as<float>();
  float* dx = op.dx.as<float>();
  parallel_for(context, op.dx.extent(0) * H, [=](std::int64_t row) {
    const std::int64_t n = row / H;
    const auto [p_begin, p_end] = window.covering(row % H, P);
    for (std::int64_t w = 0; w < W; ++w) {
      const auto [q_begin, q_end] = window.covering(w, Q);
      float* sum = dx + (row * W + w) * C;
      std::fill_n(sum, C, 0.0f);
      for (std::int64_t p = p_begin; p < p_end; ++p) {
        for (std::int64_t q = q_begin; q < q_end; ++q) add(dy + ((n * P + p) * Q + q) * C, C, sum);
      }
      multiply(share, C, sum);
    }
  });
}

}  // namespace isda::kernels
