// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent on the cpu device: the tensors are laid end to end and cut into ranges of one size, so that one
// parallel loop serves them all and small tensors cost nothing extra.
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/common/parallel.h"
#include "kernels/sgd/sgd.h"

namespace isda::kernels {

namespace {

constexpr std::int64_t kRangeElements = 8 * 1024;

struct Factors {
  float learning_rate, momentum, weight_decay;
};

// The elements [begin, end) of one tensor.
template <bool has_momentum, bool is_nesterov>
void step(const SgdTensor& tensor, const Factors& factors, std::int64_t begin, std::int64_t end) {
  const float learning_rate = factors.learning_rate, weight_decay = factors.weight_decay;
  [[maybe_unused]] const float momentum = factors.momentum;
  float* parameter = tensor.parameter.as<float>();
  float* buffer = tensor.momentum.as<float>();
  const float* gradient = tensor.gradient.as<float>();
#pragma omp simd
  for (std::int64_t i = begin; i < end; ++i) {
    const float g = gradient[i] + weight_decay * parameter[i];
    float change = g;
    if constexpr (has_momentum) {
      const float b = momentum * buffer[i] + g;
      buffer[i] = b;
      change = is_nesterov ? g + momentum * b : b;
    }
    parameter[i] -= learning_rate * change;
  }
  if (bf16* copy = tensor.copy.as<bf16>()) {
    for (std::int64_t i = begin; i < end; ++i) copy[i] = bf16(parameter[i]);
  }
}

}  // namespace

void run(Cpu, const Context& context, const Sgd& op) {
  const auto count = static_cast<std::int64_t>(op.tensors.size());
  check_cpu(op.name, op.tensors.front().parameter);
  const auto update = op.momentum > 0 ? (op.nesterov ? step<true, true> : step<true, false>) : step<false, false>;
  const Factors factors{op.learning_rate.as<float>()[0], static_cast<float>(op.momentum), static_cast<float>(op.weight_decay)};
  // Where each tensor begins in the row of all tensors.
  Scratch scratch = context.scratch();
  auto* begins = scratch.take<std::int64_t>(count + 1);
  begins[0] = 0;
  for (std::int64_t i = 0; i < count; ++i) begins[i + 1] = begins[i] + op.tensors[static_cast<std::size_t>(i)].parameter.size();
  // Each range: the parts of the tensors that lie in it.
  parallel_ranges(context, begins[count], kRangeElements, [=, tensors = op.tensors](std::int64_t begin, std::int64_t end) {
    auto i = std::upper_bound(begins, begins + count + 1, begin) - begins - 1;
    for (; i < count && begins[i] < end; ++i) {
      update(tensors[static_cast<std::size_t>(i)], factors, std::max<std::int64_t>(begin - begins[i], 0), std::min(end, begins[i + 1]) - begins[i]);
    }
  });
}

}  // namespace isda::kernels
