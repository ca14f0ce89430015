// SPDX-License-Identifier: Apache-2.0
// The random numbers of one image of `shapes`, in the order they are drawn.
#pragma once
#include "datasets/shapes.h"
#include "kernels/common/philox.h"

namespace isda {

enum class ShapeDraw : std::uint64_t { order_of_classes, factors, clouds, noise };

class ShapeDraws {
 public:
  ShapeDraws(const ShapeKey& key, ShapeDraw use) : seed_(key.seed), index_(static_cast<std::uint64_t>(key.index)) {
    position_ = (static_cast<std::uint64_t>(use) << 40) + (static_cast<std::uint64_t>(key.is_test) << 32);
  }

  std::uint32_t word() {
    if (used_ == 4) {
      words_ = philox(seed_, RandomStream::dataset, position_++, index_);
      used_ = 0;
    }
    return words_[used_++];
  }
  // An integer in [low, high].
  int between(int low, int high) { return low + static_cast<int>(uniform_below(word(), static_cast<std::uint32_t>(high - low + 1))); }

 private:
  std::uint64_t seed_, index_, position_;
  PhiloxCounter words_{};
  std::size_t used_ = 4;
};

}  // namespace isda
