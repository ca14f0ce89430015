// SPDX-License-Identifier: Apache-2.0
// The square windows of a pooling operation along one axis: window p covers the places p*stride - padding ... + kernel - 1.
#pragma once
#include <algorithm>
#include <cstdint>

namespace isda::kernels {

struct Window {
  std::int64_t kernel, stride, padding;

  struct Range {
    std::int64_t begin, end;
  };

  // How many windows there are along `inputs` places.
  std::int64_t outputs(std::int64_t inputs) const { return (inputs + 2 * padding - kernel) / stride + 1; }

  // The places of window p that lie inside.
  Range places(std::int64_t p, std::int64_t inputs) const {
    const std::int64_t first = p * stride - padding;
    return {std::max<std::int64_t>(first, 0), std::min(first + kernel, inputs)};
  }

  // The windows that cover `place`.
  Range covering(std::int64_t place, std::int64_t outputs) const {
    const std::int64_t before = place + padding - kernel;  // windows that begin here or earlier end before `place`
    return {before < 0 ? 0 : before / stride + 1, std::min((place + padding) / stride + 1, outputs)};
  }
};

template <class Operation>
Window window_of(const Operation& op) {
  return {op.kernel, op.stride, op.padding};
}

}  // namespace isda::kernels
