// SPDX-License-Identifier: Apache-2.0
// Large-margin softmax: its checks and costs.
#include "kernels/large_margin/large_margin.h"

#include "kernels/common/check.h"

namespace isda::kernels {

namespace {

struct Argument {
  const char* name;
  const ConstView& view;
  Shape expected;
  const char* meaning;
};

// The features are f32 or f64, the labels are theirs, and all arguments are of their type and of these shapes.
void check_all(const char* name, const ConstView& features, const ConstView& labels, std::initializer_list<Argument> arguments) {
  check_features(name, features);
  check_labels_shape(name, labels, features.extent(0), "(N) of features (N,A)");
  for (const auto& [argument, view, expected, meaning] : arguments) {
    check_shape(name, argument, view, expected, meaning);
    check_type(name, argument, view, features.type());
  }
}

}  // namespace

void check(const LargeMargin& op) {
  check_rank(op.name, "features", op.features, 2, "(N,A)");
  check_rank(op.name, "logits", op.logits, 2, "(N,C)");
  const std::int64_t N = op.features.extent(0), A = op.features.extent(1), C = op.logits.extent(1);
  check_all(op.name, op.features, op.labels,
            {{"weight", op.weight, {C, A}, "(C,A) of logits (N,C) and features (N,A)"},
             {"logits", op.logits, {N, C}, "(N,C) of features (N,A)"},
             {"lambda", op.lambda, {1}, "one for the whole batch"},
             {"margin_logits", op.margin_logits, {N, C}, "the shape of logits"},
             {"coefficients", op.coefficients, {N, 3}, "three a sample"}});
  require(op.margin >= 1 && op.margin <= 4, "[{}] margin is {}, expected 1 to 4", op.name, op.margin);
}

void check(const LargeMarginBackward& op) {
  check_rank(op.name, "features", op.features, 2, "(N,A)");
  check_rank(op.name, "dlogits", op.dlogits, 2, "(N,C)");
  const std::int64_t N = op.features.extent(0), A = op.features.extent(1), C = op.dlogits.extent(1);
  check_all(op.name, op.features, op.labels,
            {{"weight", op.weight, {C, A}, "(C,A) of dlogits (N,C) and features (N,A)"},
             {"dlogits", op.dlogits, {N, C}, "(N,C) of features (N,A)"},
             {"coefficients", op.coefficients, {N, 3}, "three a sample"},
             {"dfeatures", op.dfeatures, {N, A}, "the shape of features"},
             {"dweight", op.dweight, {C, A}, "the shape of weight"}});
}

Cost cost(const LargeMargin& op) {
  return {.flop = 6.0 * static_cast<double>(op.features.size()),
          .bytes = static_cast<double>(2 * op.features.bytes() + op.logits.bytes() + op.margin_logits.bytes() + op.coefficients.bytes())};
}

Cost cost(const LargeMarginBackward& op) {
  return {.flop = 8.0 * static_cast<double>(op.features.size()),
          .bytes = static_cast<double>(3 * op.features.bytes() + op.weight.bytes() + op.dfeatures.bytes() + op.dweight.bytes())};
}

}  // namespace isda::kernels
