// SPDX-License-Identifier: Apache-2.0
#include "kernels/linear/linear.h"

#include "kernels/common/check.h"

namespace isda::kernels {

namespace {

double flop_of_product(const ConstView& x, const ConstView& weight) { return 2.0 * static_cast<double>(x.size()) * static_cast<double>(weight.extent(0)); }

// x (N,A) and weight (C,A), the shapes that all others follow from.
void check_product(std::string_view name, const ConstView& x, const ConstView& weight) {
  check_rank(name, "x", x, 2, "(N,A)");
  check_float(name, "x", x);
  check_rank(name, "weight", weight, 2, "(C,A)");
  require(weight.extent(1) == x.extent(1), "[{}] weight is {}, expected (C,{}): (C,A) with A of x {}", name, weight.shape(), x.extent(1), x.shape());
  check_type(name, "weight", weight, x.type());
}

void check_argument(std::string_view name, std::string_view argument, const ConstView& view, const Shape& shape, std::string_view meaning, DType type) {
  check_shape(name, argument, view, shape, meaning);
  check_type(name, argument, view, type);
}

}  // namespace

void check(const Linear& op) {
  check_product(op.name, op.x, op.weight);
  const std::int64_t N = op.x.extent(0), C = op.weight.extent(0);
  if (op.bias) check_argument(op.name, "bias", op.bias, {C}, fmt::format("(C) of weight {}", op.weight.shape()), parameter_type(op.x.type()));
  check_argument(op.name, "y", op.y, {N, C}, fmt::format("(N,C) of x {} and weight {}", op.x.shape(), op.weight.shape()), op.x.type());
}

void check(const LinearBackward& op) {
  check_product(op.name, op.x, op.weight);
  const std::int64_t N = op.x.extent(0), C = op.weight.extent(0);
  const DType parameter = parameter_type(op.x.type());
  check_argument(op.name, "dy", op.dy, {N, C}, fmt::format("(N,C) of x {} and weight {}", op.x.shape(), op.weight.shape()), op.x.type());
  if (op.dx) check_argument(op.name, "dx", op.dx, op.x.shape(), "the shape of x", op.x.type());
  if (op.dweight) check_argument(op.name, "dweight", op.dweight, op.weight.shape(), "the shape of weight", parameter);
  if (op.dbias) check_argument(op.name, "dbias", op.dbias, {C}, fmt::format("(C) of weight {}", op.weight.shape()), parameter);
}

Cost cost(const Linear& op) {
  return {.flop = flop_of_product(op.x, op.weight), .bytes = static_cast<double>(op.x.bytes() + op.weight.bytes() + op.bias.bytes() + op.y.bytes())};
}

Cost cost(const LinearBackward& op) {
  const int products = (op.dx ? 1 : 0) + (op.dweight ? 1 : 0);
  return {.flop = products * flop_of_product(op.x, op.weight) + (op.dbias ? static_cast<double>(op.dy.size()) : 0.0),
          .bytes = static_cast<double>(op.dy.bytes() + (op.dweight ? op.x.bytes() : 0) + (op.dx ? op.weight.bytes() : 0) + op.dx.bytes() + op.dweight.bytes() +
                                       op.dbias.bytes())};
}

}  // namespace isda::kernels
