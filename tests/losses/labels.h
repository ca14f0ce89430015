// SPDX-License-Identifier: Apache-2.0
// Labels for tests: (N) i32.
#pragma once
#include <vector>

#include "core/tensor.h"

namespace isda {

inline Tensor labels_of(const std::vector<std::int32_t>& labels, Device device = Device::reference) {
  return Tensor::copy_of(ConstView(labels.data(), DType::i32, {static_cast<std::int64_t>(labels.size())}), device);
}

}  // namespace isda
