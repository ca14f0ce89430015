// SPDX-License-Identifier: Apache-2.0
// For tests of an operation that hold on every device: a suite is a class derived from OnDevice, and ISDA_ON_EVERY_DEVICE(Suite) runs its
// TEST_Ps on each, named by the device.
#pragma once
#include <gtest/gtest.h>

#include <string>

#include "kernels/common/context.h"

namespace isda {

class OnDevice : public testing::TestWithParam<Device> {
 protected:
  Context context{GetParam(), 2};
};

#define ISDA_ON_EVERY_DEVICE(Suite)                                                         \
  INSTANTIATE_TEST_SUITE_P(Devices, Suite, testing::Values(Device::reference, Device::cpu), \
                           [](const auto& device) { return std::string(name_of(device.param)); })

}  // namespace isda
