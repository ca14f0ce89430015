// SPDX-License-Identifier: Apache-2.0
// How many windows of `kernel` pixels, `stride` apart, fit into `extent` pixels with `padding` on both sides.
// NOTE: 0 where none fits or the stride is no stride: the operation's own check then says what is wrong.
#pragma once
#include <cstdint>

namespace isda {

constexpr std::int64_t window_count(std::int64_t extent, std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  const std::int64_t room = extent + 2 * padding - kernel;
  return room < 0 || stride < 1 ? 0 : room / stride + 1;
}

}  // namespace isda
