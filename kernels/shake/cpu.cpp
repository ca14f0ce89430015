// SPDX-License-Identifier: Apache-2.0
// Shaken branches on the cpu device: a row of an image at a time.
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/common/parallel.h"
#include "kernels/shake/shake.h"

namespace isda::kernels {

namespace {

// A row in stretches of pixels: all of it where the shortcut is as wide as the branches, otherwise pixel by pixel.
struct Stretches {
  std::int64_t count, wide, narrow;  // of a row; elements of the branches and of the shortcut in each
};

Stretches stretches_of(std::int64_t W, std::int64_t C, std::int64_t narrow) { return narrow == C ? Stretches{1, W * C, W * C} : Stretches{W, C, narrow}; }

}  // namespace

void run(Cpu, const Context& context, const Shake& op) {
  check_cpu(op.name, op.a);
  const auto [N, H, W, C] = op.a.extents<4>();
  const Stretches of = stretches_of(W, C, op.shortcut.extent(3));
  const bool has_two = static_cast<bool>(op.b);
  const std::uint32_t now = drawn_step(op.rule, has_two, op.step);
  const float *shortcut = op.shortcut.as<float>(), *a = op.a.as<float>(), *b = op.b.as<float>();
  parallel_for(context, N * H, [=, H = H, rule = op.rule, y = op.y.as<float>()](std::int64_t row) {
    const ShakeFactors factors = shake_factors(rule, has_two, ShakePass::forward, now, static_cast<std::uint64_t>(row / H));
    const float p = factors.a, q = factors.b;
    for (std::int64_t stretch = row * of.count; stretch < (row + 1) * of.count; ++stretch) {
      const std::int64_t first = stretch * of.wide;
      const float* s = shortcut + stretch * of.narrow;
      if (has_two) {
#pragma omp simd
        for (std::int64_t i = 0; i < of.narrow; ++i) y[first + i] = s[i] + (p * a[first + i] + q * b[first + i]);
#pragma omp simd
        for (std::int64_t i = of.narrow; i < of.wide; ++i) y[first + i] = p * a[first + i] + q * b[first + i];
      } else {
#pragma omp simd
        for (std::int64_t i = 0; i < of.narrow; ++i) y[first + i] = s[i] + p * a[first + i];
#pragma omp simd
        for (std::int64_t i = of.narrow; i < of.wide; ++i) y[first + i] = p * a[first + i];
      }
    }
  });
}

void run(Cpu, const Context& context, const ShakeBackward& op) {
  check_cpu(op.name, op.dy);
  const auto [N, H, W, C] = op.dy.extents<4>();
  const bool has_two = static_cast<bool>(op.db);
  const std::uint32_t now = drawn_step(op.rule, has_two, op.step);
  const std::int64_t narrow = op.dshortcut ? op.dshortcut.extent(3) : 0;
  const float* dy = op.dy.as<float>();
  float *da = op.da.as<float>(), *db = op.db.as<float>(), *dshortcut = op.dshortcut.as<float>();
  parallel_for(context, N * H, [=, H = H, W = W, C = C, rule = op.rule](std::int64_t row) {
    const ShakeFactors factors = shake_factors(rule, has_two, ShakePass::backward, now, static_cast<std::uint64_t>(row / H));
    const float p = factors.a, q = factors.b;
    const std::int64_t begin = row * W * C, end = begin + W * C;
#pragma omp simd
    for (std::int64_t i = begin; i < end; ++i) da[i] = p * dy[i];
    if (has_two) {
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) db[i] = q * dy[i];
    }
    for (std::int64_t pixel = row * W; dshortcut && pixel < (row + 1) * W; ++pixel) std::copy_n(dy + pixel * C, narrow, dshortcut + pixel * narrow);
  });
}

}  // namespace isda::kernels
