// SPDX-License-Identifier: Apache-2.0
#include "kernels/isda/prepared_head.h"

#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/isda/reckoning.h"

namespace isda::kernels {

namespace {

void check_pending(std::string_view name, const PendingTerms& pending, std::int64_t C, std::int64_t A, std::int64_t N, DType type) {
  const std::string classes = fmt::format("one for each of {} classes", C);
  check_shape(name, "pending.count", pending.count, {C}, classes);
  check_type(name, "pending.count", pending.count, DType::i32);
  check_shape(name, "pending.first", pending.first, {C}, classes);
  check_type(name, "pending.first", pending.first, DType::i32);
  check_shape(name, "pending.keep", pending.keep, {C}, classes);
  check_type(name, "pending.keep", pending.keep, type);
  check_rank(name, "pending.rows", pending.rows, 2, "(R,A)");
  check_type(name, "pending.rows", pending.rows, type);
  require(pending.of_class >= 1, "[{}] pending.of_class is {}, expected at least 1 row for each class", name, pending.of_class);
  const std::int64_t rows = PendingTerms::rows_for(C, pending.of_class, N);
  require(pending.rows.extent(0) >= rows && pending.rows.extent(1) == A,
          "[{}] pending.rows is {}, expected at least {} rows of {}: {} for each of {} classes, and what a batch of {} may need", name, pending.rows.shape(),
          rows, A, pending.of_class, C, N);
}

void check_prepared(std::string_view name, const Prepared& prepared, std::int64_t C, std::int64_t A, std::int64_t N, DType type) {
  const std::int64_t most = std::min(N, C);
  check_shape(name, "prepared.slots", prepared.slots, {C}, fmt::format("one for each of {} classes", C));
  check_type(name, "prepared.slots", prepared.slots, DType::i32);
  check_shape(name, "prepared.members", prepared.members, {2 * most + 2 + N}, fmt::format("2 min(N,C) + 2 + N with N {}, C {}", N, C));
  check_type(name, "prepared.members", prepared.members, DType::i32);
  check_shape(name, "prepared.u", prepared.u, {most, C, A}, "(min(N,C),C,A)");
  check_type(name, "prepared.u", prepared.u, type);
  check_shape(name, "prepared.q", prepared.q, {most, C}, "(min(N,C),C)");
  check_type(name, "prepared.q", prepared.q, type);
}

void check_covariance(std::string_view name, const View& covariance) {
  check_rank(name, "covariance", covariance, 3, "(C,A,A), a full one");
  require(covariance.extent(1) == covariance.extent(2), "[{}] covariance is {}, expected (C,A,A)", name, covariance.shape());
  require(covariance.type() == DType::f32 || covariance.type() == DType::f64, "[{}] covariance is {}, expected f32 or f64", name, name_of(covariance.type()));
}

}  // namespace

void check(const IsdaPrepare& op) {
  check_covariance(op.name, op.covariance);
  const std::int64_t C = op.covariance.extent(0), A = op.covariance.extent(1);
  const DType type = op.covariance.type();
  check_rank(op.name, "labels", op.labels, 1, "(N)");
  check_type(op.name, "labels", op.labels, DType::i32);
  const std::int64_t N = op.labels.size();
  check_shape(op.name, "weight", op.weight, {C, A}, "(C,A) of the covariance");
  check_type(op.name, "weight", op.weight, type);
  check_pending(op.name, op.pending, C, A, N, type);
  check_prepared(op.name, op.prepared, C, A, N, type);
}

void check(const IsdaPreparedHead& op) {
  check_given(op.name, "x", op.x);
  require(op.x.shape().rank() == 4 || op.x.shape().rank() == 2, "[{}] x is {}, expected (N,H,W,A) or (N,A)", op.name, op.x.shape());
  check_float(op.name, "x", op.x);
  check_rank(op.name, "weight", op.weight, 2, "(C,A)");
  const std::int64_t N = op.x.extent(0), A = op.x.extent(-1), C = op.weight.extent(0);
  const DType type = parameter_type(op.x.type());
  const auto parameter = [&](std::string_view argument, const ConstView& view, const Shape& shape, std::string_view meaning) {
    check_shape(op.name, argument, view, shape, fmt::format("{} with N {}, C {}, A {}", meaning, N, C, A));
    check_type(op.name, argument, view, type);
  };
  check_labels_shape(op.name, op.labels, N, fmt::format("one for each of the {} samples of x", N));
  parameter("weight", op.weight, {C, A}, "(C,A)");
  if (op.bias) parameter("bias", op.bias, {C}, "(C)");
  parameter("ratio", op.ratio, {1}, "one number");
  parameter("count", op.count, {C}, "(C)");
  parameter("mean", op.mean, {C, A}, "(C,A)");
  check_pending(op.name, op.pending, C, A, N, type);
  check_prepared(op.name, op.prepared, C, A, N, type);
  parameter("loss", op.loss, {1}, "one mean over the batch");
  check_shape(op.name, "correct", op.correct, {1}, "one count over the batch");
  check_type(op.name, "correct", op.correct, DType::i32);
  check_shape(op.name, "dx", op.dx, op.x.shape(), "the shape of x");
  check_type(op.name, "dx", op.dx, op.x.type());
  parameter("dweight", op.dweight, {C, A}, "(C,A)");
  if (op.dbias) parameter("dbias", op.dbias, {C}, "(C)");
}

void check(const IsdaSettle& op) {
  check_covariance(op.name, op.covariance);
  check_pending(op.name, op.pending, op.covariance.extent(0), op.covariance.extent(1), 0, op.covariance.type());
}

Cost cost(const IsdaPrepare& op) {
  const Reckoning r(op.labels.size(), op.covariance);
  return {.flop = r.update_flop() + r.multiply_flop(), .bytes = r.element * (2 * r.K * r.S + (r.N + r.K) * r.A + r.C * r.A) + r.u()};
}

Cost cost(const IsdaPreparedHead& op) {
  const std::int64_t A = op.x.extent(-1);
  const Reckoning r(op.x.extent(0), ConstView(nullptr, op.weight.type(), {op.weight.extent(0), A, A}));
  const double terms = r.N + r.K, pooling = 2 * static_cast<double>(op.x.size()), softmax = 5 * r.N * r.C;
  return {.flop = pooling + 2 * r.N * r.C * r.A + 6 * terms * r.C * r.A + softmax + r.backward_flop(),
          .bytes = 2 * (static_cast<double>(op.x.bytes()) + r.element * r.C * r.A) + r.u() + r.element * (2 * r.K * r.A + 2 * terms * r.A)};
}

// NOTE: how much is pending lies in the memory of a device; this is of one term a class.
Cost cost(const IsdaSettle& op) {
  const auto elements = static_cast<double>(op.covariance.size());
  return {.flop = 3 * elements, .bytes = 2 * static_cast<double>(op.covariance.bytes())};
}

}  // namespace isda::kernels
