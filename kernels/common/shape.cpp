// SPDX-License-Identifier: Apache-2.0
#include "kernels/common/shape.h"

namespace isda {

std::string Shape::text() const {
  std::string result = "(";
  for (int axis = 0; axis < rank_; ++axis) {
    if (axis) result += ',';
    result += std::to_string(extents_[axis]);
  }
  result += ')';
  return result;
}

}  // namespace isda
