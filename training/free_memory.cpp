// SPDX-License-Identifier: Apache-2.0
#include "training/free_memory.h"

#include <fstream>
#include <limits>
#include <string>

#include "kernels/common/cuda_device.h"

namespace isda {

std::int64_t free_bytes(Device device) {
  if (device == Device::cuda) return static_cast<std::int64_t>(cuda::free_memory().free);
  std::ifstream stream("/proc/meminfo");
  std::string name, unit;
  std::int64_t kilobytes = 0;
  while (stream >> name >> kilobytes && std::getline(stream, unit)) {
    if (name == "MemAvailable:") return kilobytes * 1024;
  }
  return std::numeric_limits<std::int64_t>::max();
}

}  // namespace isda
