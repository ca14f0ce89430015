// SPDX-License-Identifier: Apache-2.0
// Pooling: the checks and costs of its operations.
#include "kernels/pooling/pooling.h"

#include "kernels/common/check.h"
#include "kernels/pooling/window.h"

namespace isda::kernels {

namespace {

// `pooled` is (N,C) of `wide` (N,H,W,C), of its type or of the parameters'.
void check_global(const char* name, const char* wide_name, const ConstView& wide, const char* pooled_name, const ConstView& pooled) {
  check_rank(name, wide_name, wide, 4, "(N,H,W,C)");
  check_float(name, wide_name, wide);
  check_given(name, pooled_name, pooled);
  const Shape expected{wide.extent(0), wide.extent(3)};
  require(pooled.shape() == expected, "[{}] {} is {}, expected {}: (N,C) of {} {}", name, pooled_name, pooled.shape(), expected, wide_name, wide.shape());
  if (pooled.type() != parameter_type(wide.type())) check_type(name, pooled_name, pooled, wide.type());
}

// `pooled` is (N,P,Q,C) of `wide` (N,H,W,C) under the operation's window.
template <class Operation>
void check_windows(const Operation& op, const char* wide_name, const ConstView& wide, const char* pooled_name, const ConstView& pooled) {
  check_rank(op.name, wide_name, wide, 4, "(N,H,W,C)");
  check_float(op.name, wide_name, wide);
  require(op.kernel >= 1, "[{}] kernel is {}, expected 1 or more", op.name, op.kernel);
  require(op.stride >= 1, "[{}] stride is {}, expected 1 or more", op.name, op.stride);
  require(op.padding >= 0 && op.padding <= op.kernel / 2, "[{}] padding is {}, expected 0 to {}: half the kernel {}", op.name, op.padding, op.kernel / 2,
          op.kernel);
  const auto [N, H, W, C] = wide.extents<4>();
  require(std::min(H, W) + 2 * op.padding >= op.kernel, "[{}] the kernel {} is larger than {} {} with padding {}", op.name, op.kernel, wide_name, wide.shape(),
          op.padding);
  const Window window = window_of(op);
  check_given(op.name, pooled_name, pooled);
  const Shape expected{N, window.outputs(H), window.outputs(W), C};
  require(pooled.shape() == expected, "[{}] {} is {}, expected {}: {} {} with kernel {}, stride {}, padding {}", op.name, pooled_name, pooled.shape(), expected,
          wide_name, wide.shape(), op.kernel, op.stride, op.padding);
  check_type(op.name, pooled_name, pooled, wide.type());
}

void check_indices(const char* name, const ConstView& indices, const char* pooled_name, const ConstView& pooled) {
  require(static_cast<bool>(indices), "[{}] indices were not given; MaxPool2d writes them where it is asked to", name);
  require(indices.shape() == pooled.shape(), "[{}] indices are {}, expected {}: the shape of {}", name, indices.shape(), pooled.shape(), pooled_name);
  check_type(name, "indices", indices, DType::i32);
}

template <class Operation>
Cost window_cost(const Operation& op, const ConstView& wide, const ConstView& pooled, const ConstView& indices = {}) {
  return {.flop = static_cast<double>(op.kernel * op.kernel * pooled.size()), .bytes = static_cast<double>(wide.bytes() + pooled.bytes() + indices.bytes())};
}

}  // namespace

void check(const GlobalAverage& op) { check_global(op.name, "x", op.x, "y", op.y); }
void check(const GlobalAverageBackward& op) { check_global(op.name, "dx", op.dx, "dy", op.dy); }

Cost cost(const GlobalAverage& op) { return {.flop = static_cast<double>(op.x.size()), .bytes = static_cast<double>(op.x.bytes() + op.y.bytes())}; }
Cost cost(const GlobalAverageBackward& op) { return {.flop = static_cast<double>(op.dy.size()), .bytes = static_cast<double>(op.dx.bytes() + op.dy.bytes())}; }

void check(const MaxPool2d& op) {
  check_windows(op, "x", op.x, "y", op.y);
  if (op.indices) check_indices(op.name, op.indices, "y", op.y);
}
void check(const MaxPool2dBackward& op) {
  check_windows(op, "dx", op.dx, "dy", op.dy);
  check_indices(op.name, op.indices, "dy", op.dy);
}
Cost cost(const MaxPool2d& op) { return window_cost(op, op.x, op.y, op.indices); }
Cost cost(const MaxPool2dBackward& op) { return window_cost(op, op.dx, op.dy, op.indices); }

void check(const AveragePool2d& op) { check_windows(op, "x", op.x, "y", op.y); }
void check(const AveragePool2dBackward& op) { check_windows(op, "dx", op.dx, "dy", op.dy); }
Cost cost(const AveragePool2d& op) { return window_cost(op, op.x, op.y); }
Cost cost(const AveragePool2dBackward& op) { return window_cost(op, op.dx, op.dy); }

}  // namespace isda::kernels
