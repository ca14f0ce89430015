// SPDX-License-Identifier: Apache-2.0
// What is said to be free is some of what there is.
#include "training/free_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "kernels/common/cuda_device.h"

namespace isda {
namespace {

TEST(FreeMemory, OfTheHostIsSomeOfItsOwn) {
  const std::int64_t total = std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGESIZE);
  for (const Device device : {Device::cpu, Device::reference}) {
    EXPECT_GT(free_bytes(device), std::int64_t{1} << 20);
    EXPECT_LE(free_bytes(device), total);
  }
}

TEST(FreeMemory, OfTheCardIsWhatTheDriverSays) {
  if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  EXPECT_GT(free_bytes(Device::cuda), 0);
  EXPECT_LE(free_bytes(Device::cuda), static_cast<std::int64_t>(cuda::free_memory().total));
}

}  // namespace
}  // namespace isda
