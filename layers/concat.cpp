// SPDX-License-Identifier: Apache-2.0
#include "layers/concat.h"

#include "core/autograd.h"
#include "kernels/concat/concat.h"

namespace isda {

namespace {

Tensor side_by_side(const Tensor& a, const Tensor& b) {
  std::vector<std::int64_t> extents(a.shape().begin(), a.shape().end());
  require(!extents.empty() && b.shape().rank() > 0, "[concat] a is {} and b {}, expected (...,A) and (...,B)", a.shape(), b.shape());
  extents.back() += b.extent(-1);
  const Tensor y(Shape(std::span<const std::int64_t>(extents)), a.type(), a.device());
  run(a.context(), kernels::Concat{.a = a, .b = b, .y = y});
  return y;
}

BatchStatistics statistics_of(const Tensor& x) { return x.history() ? x.history()->statistics : BatchStatistics(); }

}  // namespace

Tensor concat(const Tensor& a, const Tensor& b) {
  const auto backward = [a_shape = a.shape(), b_shape = b.shape()](const Tensor& dy) {
    const Tensor da(a_shape, dy.type(), dy.device()), db(b_shape, dy.type(), dy.device());
    run(dy.context(), kernels::ConcatBackward{.dy = dy, .da = da, .db = db});
    return Gradients{da, db};
  };
  const Tensor y = differentiable(side_by_side(a, b), {a, b}, backward);

  // What is known of the channels stays known.
  const BatchStatistics of_a = statistics_of(a), of_b = statistics_of(b);
  if (y.history() && of_a.mean && of_b.mean) y.history()->statistics = {side_by_side(of_a.mean, of_b.mean), side_by_side(of_a.variance, of_b.variance)};
  return y;
}

}  // namespace isda
