// SPDX-License-Identifier: Apache-2.0
// Operations on single elements: the definition.
#include <cmath>

#include "kernels/common/grid.h"
#include "kernels/elementwise/elementwise.h"

namespace isda::kernels {

void run(Reference, const Context&, const Relu& op) {
  for (std::int64_t i = 0; i < op.x.size(); ++i) op.y.set_offset(op.x.at_offset(i) < 0 ? 0 : op.x.at_offset(i), i);
}

void run(Reference, const Context&, const ReluBackward& op) {
  for (std::int64_t i = 0; i < op.y.size(); ++i) op.dx.set_offset(op.y.at_offset(i) > 0 ? op.dy.at_offset(i) : 0, i);
}

void run(Reference, const Context&, const Add& op) {
  for (std::int64_t i = 0; i < op.a.size(); ++i) op.y.set_offset(op.a.at_offset(i) + op.b.at_offset(i), i);
}

void run(Reference, const Context&, const Scale& op) {
  for (std::int64_t i = 0; i < op.x.size(); ++i) op.y.set_offset(op.factor.at(0) * op.x.at_offset(i), i);
}

void run(Reference, const Context&, const Sigmoid& op) {
  for (std::int64_t i = 0; i < op.x.size(); ++i) op.y.set_offset(1 / (1 + std::exp(-op.x.at_offset(i))), i);
}

void run(Reference, const Context&, const SigmoidBackward& op) {
  for (std::int64_t i = 0; i < op.y.size(); ++i) op.dx.set_offset(op.dy.at_offset(i) * op.y.at_offset(i) * (1 - op.y.at_offset(i)), i);
}

void run(Reference, const Context&, const ScaleChannels& op) {
  const auto [N, H, W, C] = op.x.extents<4>();
  for (const auto [n, h, w, c] : grid(N, H, W, C)) op.y.set(op.x.at(n, h, w, c) * op.scale.at(n, c), n, h, w, c);
}

void run(Reference, const Context&, const ScaleChannelsBackward& op) {
  const auto [N, H, W, C] = op.x.extents<4>();
  for (const auto [n, c] : grid(N, C)) {
    double dscale = 0;
    for (const auto [h, w] : grid(H, W)) {
      const double dy = op.dy.at(n, h, w, c);
      dscale += dy * op.x.at(n, h, w, c);
      op.dx.set(dy * op.scale.at(n, c), n, h, w, c);
    }
    op.dscale.set(dscale, n, c);
  }
}

void run(Reference, const Context&, const Dropout& op) {
  const auto step = static_cast<std::uint32_t>(op.step.as<std::int32_t>()[0]);
  for (std::int64_t i = 0; i < op.x.size(); ++i) {
    const PhiloxCounter words = dropout_words(op.seed, op.layer, step, static_cast<std::uint64_t>(i / 4));
    const bool is_kept = uniform_float(words[static_cast<std::size_t>(i % 4)]) >= op.probability;
    op.y.set_offset(is_kept ? op.x.at_offset(i) / (1 - static_cast<double>(op.probability)) : 0, i);
  }
}

}  // namespace isda::kernels
