// SPDX-License-Identifier: Apache-2.0
#include "core/random.h"

#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "core/tensor.h"

namespace isda {

namespace {

// 53 random bits in [0, 1).
double uniform_double(std::uint32_t high, std::uint32_t low) { return static_cast<double>(((std::uint64_t{high} << 32) | low) >> 11) * 0x1p-53; }

// Writes element(i) to every place i.
template <class Element>
void fill(const View& view, Element&& element) {
  const Tensor on_its_way = is_on_card(view.data()) ? Tensor(view.shape(), view.type()) : Tensor();
  const View target = on_its_way ? on_its_way.view() : view;
  for (std::int64_t i = 0; i < target.size(); ++i) target.set_offset(element(i), i);
  if (on_its_way) copy(on_its_way, view);
}

}  // namespace

void fill_normal(const View& view, double deviation, std::uint64_t seed, RandomStream stream, std::uint64_t array) {
  fill(view, [&](std::int64_t i) {
    const auto words = philox(seed, stream, array, static_cast<std::uint64_t>(i));
    const double radius = std::sqrt(-2 * std::log(1 - uniform_double(words[0], words[1])));
    return deviation * radius * std::cos(2 * std::numbers::pi * uniform_double(words[2], words[3]));
  });
}

void fill_uniform(const View& view, double low, double high, std::uint64_t seed, RandomStream stream, std::uint64_t array) {
  fill(view, [&](std::int64_t i) {
    const auto words = philox(seed, stream, array, static_cast<std::uint64_t>(i));
    return low + (high - low) * uniform_double(words[0], words[1]);
  });
}

std::vector<std::int32_t> permutation(std::int64_t count, std::uint64_t seed, RandomStream stream, std::uint64_t position) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  for (std::int64_t i = count - 1; i > 0; --i) {
    const auto words = philox(seed, stream, position, static_cast<std::uint64_t>(i));
    const auto other = uniform_below(words[0], static_cast<std::uint32_t>(i + 1));
    std::swap(order[static_cast<std::size_t>(i)], order[other]);
  }
  return order;
}

}  // namespace isda
