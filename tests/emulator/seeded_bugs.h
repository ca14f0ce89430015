// SPDX-License-Identifier: Apache-2.0
// Bugs that people make in CUDA, each committed on purpose by a small kernel or a few calls, and each beside its right form.
//
// What each must be caught by stands in CMakeLists.txt. The line of the bug is marked in the source by "BUG:" and its name.
#pragma once
#include <fmt/core.h>

#include <string>
#include <vector>

namespace isda::seeded {

struct Bug {
  const char* name;
  // Does the work, rightly or with the bug. Returns what is wrong with the result, "" when nothing; throws Error when the device reports.
  std::string (*commit)(bool is_right);
};

std::vector<Bug> barrier_bugs();      // seeded_barriers.cu
std::vector<Bug> warp_bugs();         // seeded_warps.cu
std::vector<Bug> memory_bugs();       // seeded_memory.cu
std::vector<Bug> tensor_core_bugs();  // seeded_tensor_cores.cu
std::vector<Bug> host_bugs();         // seeded_host.cu
std::vector<Bug> all_bugs();

// "" when both hold the same, else the first difference. NaN is never the same.
template <class T>
std::string difference(const std::vector<T>& actual, const std::vector<T>& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (!(actual[i] == expected[i])) return fmt::format("wrong value: element {} is {}, expected {}", i, actual[i], expected[i]);
  }
  return {};
}

// Numbers to work on: 1, 2, ... 7, 1, 2, ...
std::vector<float> numbers(std::size_t count);

}  // namespace isda::seeded
