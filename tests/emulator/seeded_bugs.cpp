// SPDX-License-Identifier: Apache-2.0
#include "tests/emulator/seeded_bugs.h"

namespace isda::seeded {

std::vector<Bug> all_bugs() {
  std::vector<Bug> all;
  for (const auto& some : {barrier_bugs(), warp_bugs(), memory_bugs(), tensor_core_bugs(), host_bugs()}) all.insert(all.end(), some.begin(), some.end());
  return all;
}

std::vector<float> numbers(std::size_t count) {
  std::vector<float> result(count);
  for (std::size_t i = 0; i < count; ++i) result[i] = static_cast<float>(1 + i % 7);
  return result;
}

}  // namespace isda::seeded
