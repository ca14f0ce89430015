// SPDX-License-Identifier: Apache-2.0
// Three products of kernels/common/gemm.h; a transpose is an exchange of strides.
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/common/gemm.h"
#include "kernels/linear/linear.h"

namespace isda::kernels {

namespace {

Matrix matrix(const ConstView& view) { return {view.as<float>(), view.extent(1), 1}; }

}  // namespace

void run(Cpu, const Context& context, const Linear& op) {
  check_cpu(op.name, op.x);
  const auto [N, A] = op.x.extents<2>();
  const std::int64_t C = op.weight.extent(0);
  gemm(context, {.M = N, .N = C, .K = A, .a = matrix(op.x), .b = matrix(op.weight).transposed(), .c = op.y.as<float>(), .bias = op.bias.as<float>()});
}

void run(Cpu, const Context& context, const LinearBackward& op) {
  check_cpu(op.name, op.x);
  const auto [N, A] = op.x.extents<2>();
  const std::int64_t C = op.weight.extent(0);
  if (op.dx) gemm(context, {.M = N, .N = A, .K = C, .a = matrix(op.dy), .b = matrix(op.weight), .c = op.dx.as<float>()});
  if (op.dweight) gemm(context, {.M = C, .N = A, .K = N, .a = matrix(op.dy).transposed(), .b = matrix(op.x), .c = op.dweight.as<float>()});
  if (op.dbias) {
    const float* dy = op.dy.as<float>();
    float* dbias = op.dbias.as<float>();
    std::fill_n(dbias, C, 0.0f);
    for (std::int64_t n = 0; n < N; ++n) {
      for (std::int64_t c = 0; c < C; ++c) dbias[c] += dy[n * C + c];
    }
  }
}

}  // namespace isda::kernels
