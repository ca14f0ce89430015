// SPDX-License-Identifier: Apache-2.0
#include "kernels/isda_draw/isda_draw.h"

#include <algorithm>

#include "kernels/common/check.h"

namespace isda::kernels {

namespace {

// NOTE: a group of four normal numbers has 20 bits of a counter, a draw the other 44.
constexpr std::int64_t kMostWidth = std::int64_t{4} << 20;

void check_parameter(std::string_view name, std::string_view argument, const ConstView& view) {
  require(view.type() == DType::f32 || view.type() == DType::f64, "[{}] {} is {}, expected f32 or f64", name, argument, name_of(view.type()));
}

}  // namespace

void check(const IsdaDraw& op) {
  check_rank(op.name, "features", op.features, 2, "(N,A)");
  check_parameter(op.name, "features", op.features);
  const auto [N, A] = op.features.extents<2>();
  require(A <= kMostWidth, "[{}] features are {} wide, expected at most {}", op.name, A, kMostWidth);
  check_labels_shape(op.name, op.labels, N, fmt::format("one for each of the {} rows of features", N));
  check_given(op.name, "covariance", op.covariance);
  const std::int64_t C = op.covariance.extent(0);
  const Shape& shape = op.covariance.shape();
  require(shape == Shape{C, A, A} || shape == Shape{C, A} || is_low_rank_shape(shape, A),
          "[{}] covariance is {}, expected (C,{},{}) (full), (C,{}) (diagonal) or (C,1+R,{}) with 1+R below {} (low rank)", op.name, shape, A, A, A, A, A);
  check_type(op.name, "covariance", op.covariance, op.features.type());
  check_shape(op.name, "ratio", op.ratio, {1}, "one number");
  check_type(op.name, "ratio", op.ratio, op.features.type());
  check_shape(op.name, "step", op.step, {1}, "one number");
  check_type(op.name, "step", op.step, DType::i32);
  require(op.draws >= 1, "[{}] draws is {}, expected at least 1", op.name, op.draws);
  check_shape(op.name, "drawn", op.drawn, {N * op.draws, A}, fmt::format("{} draws of each of {} samples", op.draws, N));
  check_type(op.name, "drawn", op.drawn, op.features.type());
  check_shape(op.name, "labels_of_drawn", op.labels_of_drawn, {N * op.draws}, "one for each draw");
  check_type(op.name, "labels_of_drawn", op.labels_of_drawn, DType::i32);
}

void check(const IsdaDrawBackward& op) {
  check_rank(op.name, "ddrawn", op.ddrawn, 2, "(N M,A)");
  check_parameter(op.name, "ddrawn", op.ddrawn);
  check_rank(op.name, "dfeatures", op.dfeatures, 2, "(N,A)");
  check_type(op.name, "dfeatures", op.dfeatures, op.ddrawn.type());
  require(op.ddrawn.extent(1) == op.dfeatures.extent(1) && op.ddrawn.extent(0) % op.dfeatures.extent(0) == 0,
          "[{}] ddrawn is {}, expected as many rows for each of those of dfeatures {}", op.name, op.ddrawn.shape(), op.dfeatures.shape());
}

// NOTE: of as many classes as there can be: which are present lies in the memory of a device.
Cost cost(const IsdaDraw& op) {
  const bool is_full = kernels::is_full(op.covariance);
  const auto drawn = static_cast<double>(op.drawn.size()), A = static_cast<double>(op.features.extent(1));
  const auto most = static_cast<double>(std::min(op.features.extent(0), op.covariance.extent(0)));
  const double element = static_cast<double>(size_of(op.features.type()));
  const double covariances = most * static_cast<double>(op.covariance.size() / op.covariance.extent(0));
  return {
      .flop = is_full ? most * A * A * A / 3 + drawn * A : 2 * drawn * (is_low_rank(op.covariance) ? static_cast<double>(directions_of(op.covariance) + 1) : 1),
      .bytes = static_cast<double>(op.features.bytes() + op.drawn.bytes()) + element * covariances * (is_full ? 2 : 1)};
}

Cost cost(const IsdaDrawBackward& op) {
  return {.flop = static_cast<double>(op.ddrawn.size()), .bytes = static_cast<double>(op.ddrawn.bytes() + op.dfeatures.bytes())};
}

}  // namespace isda::kernels
