// SPDX-License-Identifier: Apache-2.0
// The square windows of a pooling operation along one axis: window p covers the places p*stride - padding ... + kernel - 1.
#pragma once
#include <algorithm>
#include <cstdint>

namespace isda::kernels {

// Integer: 64 bits on the host; 32 on the card, whose division of 64 bits takes a hundred instructions.
template <class Integer>
struct WindowOf {
  Integer kernel, stride, padding;

  struct Range {
    Integer begin, end;
  };

  // How many windows there are along `inputs` places.
  constexpr Integer outputs(Integer inputs) const { return (inputs + 2 * padding - kernel) / stride + 1; }

  // The places of window p that lie inside.
  constexpr Range places(Integer p, Integer inputs) const {
    const Integer first = p * stride - padding;
    return {std::max<Integer>(first, 0), std::min<Integer>(first + kernel, inputs)};
  }

  // The windows that cover `place`.
  constexpr Range covering(Integer place, Integer outputs) const {
    const Integer before = place + padding - kernel;  // windows that begin here or earlier end before `place`
    return {before < 0 ? 0 : before / stride + 1, std::min<Integer>((place + padding) / stride + 1, outputs)};
  }
};

using Window = WindowOf<std::int64_t>;

template <class Operation>
Window window_of(const Operation& op) {
  return {op.kernel, op.stride, op.padding};
}

}  // namespace isda::kernels
