// SPDX-License-Identifier: Apache-2.0
// What the devices that compute on the host check beyond shapes and types, by reading the values.
#pragma once
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/isda/isda.h"

namespace isda::kernels {

// Every label has a slot in u, as after the forward of the same batch, or its preparation. The labels are known to lie in [0,C).
inline void check_slots(std::string_view operation, const ConstView& labels, const ConstView& slots) {
  const auto* label = labels.as<std::int32_t>();
  const auto* slot_of = slots.as<std::int32_t>();
  const std::int64_t most = std::min(labels.size(), slots.size());
  for (std::int64_t i = 0; i < labels.size(); ++i) {
    const std::int32_t slot = slot_of[label[i]];
    require(slot >= 0 && slot < most, "[{}] slots[{}] is {}, but class {} is among the labels; pass the slots made of this batch's labels", operation, label[i],
            slot, label[i]);
  }
}

}  // namespace isda::kernels
