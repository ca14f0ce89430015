// SPDX-License-Identifier: Apache-2.0
// The extents of a dense row-major array, at most five of them: (N,H,W,C), (K,R,S,C), (C,A,A), ...
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "kernels/common/error.h"

namespace isda {

class Shape {
 public:
  static constexpr int kMaxRank = 5;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> extents) : Shape(std::span(extents.begin(), extents.size())) {}
  explicit Shape(std::span<const std::int64_t> extents) : rank_(static_cast<int>(extents.size())) {
    require(extents.size() <= kMaxRank, "[shape] {} extents, at most {} are possible", extents.size(), kMaxRank);
    for (int axis = 0; axis < rank_; ++axis) {
      require(extents[axis] >= 0, "[shape] extent {} is {}, expected 0 or more", axis, extents[axis]);
      extents_[axis] = extents[axis];
    }
  }

  int rank() const { return rank_; }
  // Negative axes count from the end: shape[-1] is the innermost extent.
  std::int64_t operator[](int axis) const { return extents_[axis < 0 ? axis + rank_ : axis]; }
  const std::int64_t* begin() const { return extents_.data(); }
  const std::int64_t* end() const { return extents_.data() + rank_; }

  // The number of elements; 1 for a scalar (rank 0).
  std::int64_t size() const {
    std::int64_t product = 1;
    for (const auto extent : *this) product *= extent;
    return product;
  }

  // All extents at once: const auto [N, H, W, C] = shape.extents<4>();
  template <int rank>
  std::array<std::int64_t, rank> extents() const {
    require(rank_ == rank, "[shape] {} has {} extents, expected {}", text(), rank_, rank);
    std::array<std::int64_t, rank> result;
    std::copy_n(extents_.begin(), rank, result.begin());
    return result;
  }

  bool operator==(const Shape& other) const { return std::equal(begin(), end(), other.begin(), other.end()); }

  // "(8,32)"
  std::string text() const;

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  int rank_ = 0;
};

}  // namespace isda

template <>
struct fmt::formatter<isda::Shape> {
  constexpr auto parse(fmt::format_parse_context& context) { return context.begin(); }
  auto format(const isda::Shape& shape, fmt::format_context& context) const { return fmt::format_to(context.out(), "{}", shape.text()); }
};
