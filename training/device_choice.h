// SPDX-License-Identifier: Apache-2.0
// What --device comes to: its four names, and for `auto` the card where there is one and every operation can run on it, else the CPU.
#pragma once
#include <string>

#include "kernels/common/context.h"
#include "kernels/common/cuda_device.h"

namespace isda {

struct DeviceChoice {
  Device device;
  std::string reason;  // "auto: no NVIDIA driver is installed"
};

// Throws Error that says why and what to do when `cuda` is asked for and no card can be used.
DeviceChoice choose_device(const std::string& name);

// What `auto` comes to with this card, when `missing` is the name of an operation that has no CUDA version; empty when all have one.
DeviceChoice automatic_device(const cuda::Card& card, const std::string& missing);

// The first operation of training that has no CUDA version in this program; empty when all have one.
std::string operation_without_cuda();

}  // namespace isda
