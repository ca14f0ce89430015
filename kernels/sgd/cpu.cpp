// SPDX-License-Identifier: Apache-2.0
// All tensors are cut into ranges of 16 K elements, and the ranges are shared out in one parallel loop: small tensors cost no launch.
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/common/parallel.h"
#include "kernels/sgd/sgd.h"

namespace isda::kernels {

namespace {

constexpr std::int64_t kGrain = std::int64_t{1} << 14;

struct Range {
  const SgdTensor* tensor;
  std::int64_t begin, end;
};

void update(const Sgd& op, const Range& range) {
  float* parameter = range.tensor->parameter.as<float>();
  const float* gradient = range.tensor->gradient.as<float>();
  float* buffer = range.tensor->momentum.as<float>();
  const float learning_rate = op.learning_rate.as<float>()[0];
  const auto momentum = static_cast<float>(op.momentum), weight_decay = static_cast<float>(op.weight_decay);
  if (momentum == 0) {
    for (std::int64_t i = range.begin; i < range.end; ++i) parameter[i] -= learning_rate * (gradient[i] + weight_decay * parameter[i]);
    return;
  }
  for (std::int64_t i = range.begin; i < range.end; ++i) {
    const float g = gradient[i] + weight_decay * parameter[i];
    const float b = momentum * buffer[i] + g;
    buffer[i] = b;
    parameter[i] -= learning_rate * (op.nesterov ? g + momentum * b : b);
  }
}

}  // namespace

void run(Cpu, const Context& context, const Sgd& op) {
  check_cpu(op.name, op.tensors.front().parameter);
  std::int64_t count = 0;
  for (const auto& tensor : op.tensors) count += (tensor.parameter.size() + kGrain - 1) / kGrain;
  Scratch scratch = context.scratch();
  Range* ranges = scratch.take<Range>(count);
  std::int64_t next = 0;
  for (const auto& tensor : op.tensors) {
    for (std::int64_t begin = 0; begin < tensor.parameter.size(); begin += kGrain) {
      ranges[next++] = {&tensor, begin, std::min(begin + kGrain, tensor.parameter.size())};
    }
  }
  parallel_for(context, count, [&](std::int64_t i) { update(op, ranges[i]); });
}

}  // namespace isda::kernels
