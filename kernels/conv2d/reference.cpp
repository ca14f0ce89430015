// SPDX-License-Identifier: Apache-2.0
// The definition of the three convolutions: plain loops, sums in double, every prologue and epilogue in its own words.
#include <vector>

#include "kernels/common/grid.h"
#include "kernels/common/moments.h"
#include "kernels/conv2d/conv2d.h"

namespace isda::kernels {

namespace {

// f(x)[n,h,w,c] = relu(x*scale + shift), and 0 outside the image.
double padded_input(const ConstView& x, const Conv2dPrologue& prologue, std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) {
  if (h < 0 || h >= x.extent(1) || w < 0 || w >= x.extent(2)) return 0;
  double value = x.at(n, h, w, c);
  if (prologue.scale) value = value * prologue.scale.at(c) + prologue.shift.at(c);
  return prologue.relu && value < 0 ? 0 : value;
}

// dy'[n,p,q,k] = dy*scale + y*y_scale + shift.
double output_gradient(const ConstView& dy, const Conv2dGradientPrologue& prologue, std::int64_t n, std::int64_t p, std::int64_t q, std::int64_t k) {
  const double value = dy.at(n, p, q, k);
  if (!prologue.y) return value;
  return value * prologue.scale.at(k) + prologue.y.at(n, p, q, k) * prologue.y_scale.at(k) + prologue.shift.at(k);
}

}  // namespace

void run(Reference, const Context&, const Conv2d& op) {
  const auto [N, P, Q, K] = op.y.extents<4>();
  const auto [K_, R, S, Cg] = op.weight.extents<4>();
  for (const auto [n, p, q, k] : grid(N, P, Q, K)) {
    const std::int64_t first = k / (K / op.groups) * Cg;
    double sum = op.epilogue.residual ? op.epilogue.residual.at(n, p, q, k) : 0;
    for (const auto [r, s, c] : grid(R, S, Cg)) {
      sum += padded_input(op.x, op.prologue, n, p * op.stride + r - op.padding, q * op.stride + s - op.padding, first + c) * op.weight.at(k, r, s, c);
    }
    op.y.set(sum, n, p, q, k);
  }

  const auto& statistics = op.epilogue.statistics;
  if (!statistics.mean) return;
  for (std::int64_t k = 0; k < K; ++k) {
    Moments<double> moments;
    for (const auto [n, p, q] : grid(N, P, Q)) moments.add(op.y.at(n, p, q, k));
    statistics.mean.set(moments.mean, k);
    statistics.variance.set(moments.variance(), k);
  }
}

void run(Reference, const Context&, const Conv2dBackwardData& op) {
  const auto [N, H, W, C] = op.dx.extents<4>();
  const auto [N_, P, Q, K] = op.dy.extents<4>();
  const auto [K_, R, S, Cg] = op.weight.extents<4>();
  const auto& [residual, mask, sums] = op.epilogue;
  const std::int64_t Kg = K / op.groups;
  std::vector<double> sum(static_cast<std::size_t>(C)), sum_centred(static_cast<std::size_t>(C));

  for (const auto [n, h, w, c] : grid(N, H, W, C)) {
    const std::int64_t first = c / Cg * Kg;
    double g = residual ? residual.at(n, h, w, c) : 0;
    // The outputs (p,q) that saw pixel (h,w) under tap (r,s).
    for (const auto [r, s] : grid(R, S)) {
      const std::int64_t p = (h + op.padding - r) / op.stride, q = (w + op.padding - s) / op.stride;
      if (p < 0 || p >= P || p * op.stride != h + op.padding - r) continue;
      if (q < 0 || q >= Q || q * op.stride != w + op.padding - s) continue;
      for (std::int64_t k = first; k < first + Kg; ++k) g += output_gradient(op.dy, op.prologue, n, p, q, k) * op.weight.at(k, r, s, c % Cg);
    }
    if (mask.x) {
      const double z = mask.scale ? mask.x.at(n, h, w, c) * mask.scale.at(c) + mask.shift.at(c) : mask.x.at(n, h, w, c);
      if (!(z > 0)) g = 0;
    }
    op.dx.set(g, n, h, w, c);
    if (sums.x) {
      const auto channel = static_cast<std::size_t>(c);
      sum[channel] += op.dx.at(n, h, w, c);
      sum_centred[channel] += op.dx.at(n, h, w, c) * (sums.x.at(n, h, w, c) - sums.mean.at(c));
    }
  }

  if (!sums.x) return;
  for (std::int64_t c = 0; c < C; ++c) {
    sums.sum.set(sum[static_cast<std::size_t>(c)], c);
    sums.sum_centred.set(sum_centred[static_cast<std::size_t>(c)], c);
  }
}

void run(Reference, const Context&, const Conv2dBackwardWeights& op) {
  const auto [N, P, Q, K] = op.dy.extents<4>();
  const auto [K_, R, S, Cg] = op.dweight.extents<4>();
  for (const auto [k, r, s, c] : grid(K, R, S, Cg)) {
    const std::int64_t first = k / (K / op.groups) * Cg;
    double sum = 0;
    for (const auto [n, p, q] : grid(N, P, Q)) {
      sum += padded_input(op.x, op.prologue, n, p * op.stride + r - op.padding, q * op.stride + s - op.padding, first + c) *
             output_gradient(op.dy, op.gradient_prologue, n, p, q, k);
    }
    op.dweight.set(sum, k, r, s, c);
  }
}

}  // namespace isda::kernels
