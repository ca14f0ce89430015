// SPDX-License-Identifier: Apache-2.0
// Pooling: the definition.
// NOTE: gradients are added up in f64 whatever the arrays' type, and rounded once.
#include <cmath>
#include <vector>

#include "kernels/common/grid.h"
#include "kernels/pooling/pooling.h"

namespace isda::kernels {

namespace {

// Calls body(h, w) for each place of window (p,q) that lies inside the image.
template <class Operation, class Body>
void for_places(const Operation& op, std::int64_t p, std::int64_t q, std::int64_t H, std::int64_t W, Body&& body) {
  for (const auto [r, s] : grid(op.kernel, op.kernel)) {
    const std::int64_t h = p * op.stride - op.padding + r, w = q * op.stride - op.padding + s;
    if (h >= 0 && h < H && w >= 0 && w < W) body(h, w);
  }
}

// Zeros in f64, of a shape.
struct Sums {
  explicit Sums(const Shape& shape) : values(static_cast<std::size_t>(shape.size())), view(values.data(), DType::f64, shape) {}

  void store(const View& to) const {
    for (std::int64_t i = 0; i < to.size(); ++i) to.set_offset(view.at_offset(i), i);
  }

  std::vector<double> values;
  View view;
};

}  // namespace

void run(Reference, const Context&, const GlobalAverage& op) {
  const auto [N, H, W, C] = op.x.extents<4>();
  for (const auto [n, c] : grid(N, C)) {
    double sum = 0;
    for (const auto [h, w] : grid(H, W)) sum += op.x.at(n, h, w, c);
    op.y.set(sum / static_cast<double>(H * W), n, c);
  }
}

void run(Reference, const Context&, const GlobalAverageBackward& op) {
  const auto [N, H, W, C] = op.dx.extents<4>();
  for (const auto [n, h, w, c] : grid(N, H, W, C)) op.dx.set(op.dy.at(n, c) / static_cast<double>(H * W), n, h, w, c);
}

void run(Reference, const Context&, const MaxPool2d& op) {
  const std::int64_t H = op.x.extent(1), W = op.x.extent(2);
  const auto [N, P, Q, C] = op.y.extents<4>();
  for (const auto& index : grid(N, P, Q, C)) {
    const std::int64_t n = index[0], p = index[1], q = index[2], c = index[3];
    double largest = 0;
    std::int64_t winner = -1;
    for_places(op, p, q, H, W, [&](std::int64_t h, std::int64_t w) {
      const double value = op.x.at(n, h, w, c);
      if (winner >= 0 && !(value > largest) && !std::isnan(value)) return;
      largest = value;
      winner = h * W + w;
    });
    op.y.set(largest, n, p, q, c);
    if (op.indices) op.indices.set(static_cast<double>(winner), n, p, q, c);
  }
}

void run(Reference, const Context&, const MaxPool2dBackward& op) {
  const std::int64_t W = op.dx.extent(2);
  const Sums sums(op.dx.shape());
  const auto [N, P, Q, C] = op.dy.extents<4>();
  for (const auto [n, p, q, c] : grid(N, P, Q, C)) {
    const auto winner = static_cast<std::int64_t>(op.indices.at(n, p, q, c));
    const std::int64_t h = winner / W, w = winner % W;
    sums.view.set(sums.view.at(n, h, w, c) + op.dy.at(n, p, q, c), n, h, w, c);
  }
  sums.store(op.dx);
}

void run(Reference, const Context&, const AveragePool2d& op) {
  const std::int64_t H = op.x.extent(1), W = op.x.extent(2);
  const auto [N, P, Q, C] = op.y.extents<4>();
  for (const auto& index : grid(N, P, Q, C)) {
    const std::int64_t n = index[0], p = index[1], q = index[2], c = index[3];
    double sum = 0;
    for_places(op, p, q, H, W, [&](std::int64_t h, std::int64_t w) { sum += op.x.at(n, h, w, c); });
    op.y.set(sum / static_cast<double>(op.kernel * op.kernel), n, p, q, c);
  }
}

void run(Reference, const Context&, const AveragePool2dBackward& op) {
  const std::int64_t H = op.dx.extent(1), W = op.dx.extent(2);
  const Sums sums(op.dx.shape());
  const auto [N, P, Q, C] = op.dy.extents<4>();
  for (const auto& index : grid(N, P, Q, C)) {
    const std::int64_t n = index[0], p = index[1], q = index[2], c = index[3];
    const double share = op.dy.at(n, p, q, c) / static_cast<double>(op.kernel * op.kernel);
    for_places(op, p, q, H, W, [&](std::int64_t h, std::int64_t w) { sums.view.set(sums.view.at(n, h, w, c) + share, n, h, w, c); });
  }
  sums.store(op.dx);
}

}  // namespace isda::kernels
