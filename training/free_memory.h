// SPDX-License-Identifier: Apache-2.0
// How much memory a device has left, to refuse what cannot fit before any of it is made.
#pragma once
#include <cstdint>

#include "kernels/common/context.h"

namespace isda {

// Bytes: on the card what the driver has left; on the host what can be had without swapping (MemAvailable of /proc/meminfo; the largest number where there
// is none).
std::int64_t free_bytes(Device device);

}  // namespace isda
