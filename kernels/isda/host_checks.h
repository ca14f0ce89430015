// SPDX-License-Identifier: Apache-2.0
// What the devices that compute on the host check beyond shapes and types, by reading the values.
#pragma once
#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/isda/isda.h"

namespace isda::kernels {

// Every label has a slot in u, as after the forward of the same batch. The labels are known to lie in [0,C).
inline void check_slots(const IsdaBackward& op) {
  const auto* labels = op.labels.as<std::int32_t>();
  const auto* slots = op.slots.as<std::int32_t>();
  const std::int64_t most = std::min(op.labels.size(), op.slots.size());
  for (std::int64_t i = 0; i < op.labels.size(); ++i) {
    const std::int32_t slot = slots[labels[i]];
    require(slot >= 0 && slot < most, "[{}] slots[{}] is {}, but class {} is among the labels; pass the slots of this batch's forward", op.name, labels[i],
            slot, labels[i]);
  }
}

}  // namespace isda::kernels
