// SPDX-License-Identifier: Apache-2.0
#include "kernels/isda/isda.h"

#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/isda/reckoning.h"

namespace isda::kernels {

namespace {

// Checks arguments against the sizes that features and the number of classes give.
class Checker {
 public:
  Checker(std::string_view name, const ConstView& features) : name_(name) {
    check_rank(name, "features", features, 2, "(N,A)");
    check_batch("features", features);
  }
  // x: maps of features, or features.
  static Checker of_maps(std::string_view name, const ConstView& x) {
    check_given(name, "x", x);
    require(x.shape().rank() == 4 || x.shape().rank() == 2, "[{}] x is {}, expected (N,H,W,A) or (N,A)", name, x.shape());
    Checker checker(name);
    checker.check_batch("x", x);
    return checker;
  }

  // The number of classes is the first extent of `view`.
  void classes_from(std::string_view argument, const ConstView& view, int rank, std::string_view meaning) {
    check_rank(name_, argument, view, rank, meaning);
    C_ = view.extent(0);
  }

  std::int64_t N() const { return N_; }
  std::int64_t A() const { return A_; }
  std::int64_t C() const { return C_; }

  void parameter(std::string_view argument, const ConstView& view, const Shape& shape, std::string_view meaning) const {
    check_shape(name_, argument, view, shape, fmt::format("{} with N {}, C {}, A {}", meaning, N_, C_, A_));
    check_type(name_, argument, view, type_);
  }
  void labels(const ConstView& view) const { check_labels_shape(name_, view, N_, fmt::format("one for each of the {} rows of features", N_)); }
  void slots(const ConstView& view) const {
    check_shape(name_, "slots", view, {C_}, fmt::format("one for each of {} classes", C_));
    check_type(name_, "slots", view, DType::i32);
  }

  void covariance(const ConstView& view) const {
    check_given(name_, "covariance", view);
    const Shape full{C_, A_, A_}, diagonal{C_, A_}, &got = view.shape();
    const bool has_rows = got.rank() == 3 && got[0] == C_ && got[2] == A_;
    require(!has_rows || got[1] <= A_, "[{}] covariance is {}: {} directions of {} features would take more memory than {} (full); pass that", name_, got,
            got[1] - 1, A_, full);
    require(got == full || got == diagonal || (has_rows && got[1] > 1), "[{}] covariance is {}, expected {} (full), {} (diagonal) or ({},1+R,{}) (low rank)",
            name_, got, full, diagonal, C_, A_);
    check_type(name_, "covariance", view, type_);
  }
  // What the forward leaves for the backward.
  void u(const ConstView& view, const ConstView& of_covariance) const {
    if (is_diagonal(of_covariance))
      require(!view, "[{}] u was given, but a diagonal covariance has none; leave it out", name_);
    else
      parameter("u", view, {std::min(N_, C_), C_, width_of_u(of_covariance)}, is_full(of_covariance) ? "(min(N,C),C,A)" : "(min(N,C),C,R)");
  }

  // What IsdaForward and IsdaUpdateForward share.
  template <class Operation>
  void forward(const Operation& op) const {
    labels(op.labels);
    parameter("weight", op.weight, {C_, A_}, "(C,A)");
    if (op.bias) parameter("bias", op.bias, {C_}, "(C)");
    covariance(op.covariance);
    parameter("ratio", op.ratio, {1}, "one number");
    parameter("logits", op.logits, {N_, C_}, "(N,C)");
    parameter("augmented_logits", op.augmented_logits, {N_, C_}, "(N,C)");
    slots(op.slots);
    u(op.u, op.covariance);
  }

  template <class Operation>
  void statistics(const Operation& op) const {
    labels(op.labels);
    parameter("count", op.count, {C_}, "(C)");
    parameter("mean", op.mean, {C_, A_}, "(C,A)");
    covariance(op.covariance);
  }

 private:
  explicit Checker(std::string_view name) : name_(name) {}
  void check_batch(std::string_view argument, const ConstView& batch) {
    check_float(name_, argument, batch);
    N_ = batch.extent(0);
    A_ = batch.extent(-1);
    type_ = parameter_type(batch.type());
  }

  std::string_view name_;
  std::int64_t N_ = 0, A_ = 0, C_ = 0;
  DType type_ = DType::f32;
};

// The sizes of an operation, and the bytes of its batch.
struct BatchReckoning : Reckoning {
  double features;  // bytes of all of them

  BatchReckoning(const ConstView& batch, const ConstView& covariance) : Reckoning(batch.extent(0), covariance), features(static_cast<double>(batch.bytes())) {}
  double features_and_weight() const { return features + element * C * A; }
};

}  // namespace

void check(const IsdaUpdate& op) {
  Checker checker(op.name, op.features);
  checker.classes_from("count", op.count, 1, "(C)");
  checker.statistics(op);
}

void check(const IsdaForward& op) {
  Checker checker(op.name, op.features);
  checker.classes_from("weight", op.weight, 2, "(C,A)");
  checker.forward(op);
}

void check(const IsdaUpdateForward& op) {
  Checker checker(op.name, op.features);
  checker.classes_from("weight", op.weight, 2, "(C,A)");
  checker.statistics(op);
  checker.forward(op);
}

void check(const IsdaBackward& op) {
  Checker checker(op.name, op.features);
  checker.classes_from("weight", op.weight, 2, "(C,A)");
  checker.labels(op.labels);
  const Shape features{checker.N(), checker.A()}, weight{checker.C(), checker.A()};
  checker.parameter("daugmented", op.daugmented, {checker.N(), checker.C()}, "(N,C)");
  checker.parameter("weight", op.weight, weight, "(C,A)");
  checker.slots(op.slots);
  checker.covariance(op.covariance);
  checker.u(op.u, op.covariance);
  checker.parameter("ratio", op.ratio, {1}, "one number");
  check_shape(op.name, "dfeatures", op.dfeatures, features, "the shape of features");
  check_type(op.name, "dfeatures", op.dfeatures, op.features.type());
  checker.parameter("dweight", op.dweight, weight, "(C,A)");
  if (op.dbias) checker.parameter("dbias", op.dbias, {checker.C()}, "(C)");
}

void check(const IsdaHead& op) {
  Checker checker = Checker::of_maps(op.name, op.x);
  checker.classes_from("weight", op.weight, 2, "(C,A)");
  checker.statistics(op);
  const Shape weight{checker.C(), checker.A()};
  checker.parameter("weight", op.weight, weight, "(C,A)");
  if (op.bias) checker.parameter("bias", op.bias, {checker.C()}, "(C)");
  checker.parameter("ratio", op.ratio, {1}, "one number");
  checker.parameter("loss", op.loss, {1}, "one mean over the batch");
  check_shape(op.name, "correct", op.correct, {1}, "one count over the batch");
  check_type(op.name, "correct", op.correct, DType::i32);
  check_shape(op.name, "dx", op.dx, op.x.shape(), "the shape of x");
  check_type(op.name, "dx", op.dx, op.x.type());
  checker.parameter("dweight", op.dweight, weight, "(C,A)");
  if (op.dbias) checker.parameter("dbias", op.dbias, {checker.C()}, "(C)");
}

Cost cost(const IsdaUpdate& op) {
  const BatchReckoning r(op.features, op.covariance);
  return {.flop = r.update_flop(), .bytes = r.element * 2 * r.K * (r.S + r.A) + r.features};
}

Cost cost(const IsdaForward& op) {
  const BatchReckoning r(op.features, op.covariance);
  return {.flop = r.forward_flop(), .bytes = r.element * r.K * r.S + r.features_and_weight() + 2 * r.logits() + r.u()};
}

Cost cost(const IsdaUpdateForward& op) {
  const BatchReckoning r(op.features, op.covariance);
  return {.flop = r.update_flop() + r.forward_flop(), .bytes = r.element * 2 * r.K * (r.S + r.A) + r.features_and_weight() + 2 * r.logits() + r.u()};
}

Cost cost(const IsdaBackward& op) {
  const BatchReckoning r(op.features, op.covariance);
  return {.flop = r.backward_flop(), .bytes = r.u() + (r.is_full() ? 0 : r.element * r.K * r.S) + 2 * r.features_and_weight() + r.logits()};
}

Cost cost(const IsdaHead& op) {
  const BatchReckoning r(op.x, op.covariance);
  const double pooling = 2 * static_cast<double>(op.x.size()), softmax = 5 * r.N * r.C;
  return {.flop = pooling + r.update_flop() + r.forward_flop() + softmax + r.backward_flop(),
          .bytes = 2 * r.features_and_weight() + r.element * 2 * r.K * (r.S + r.A)};
}

}  // namespace isda::kernels
