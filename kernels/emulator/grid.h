// SPDX-License-Identifier: Apache-2.0
// Runs one launch to its end. Inside the emulator only.
#pragma once
#include <string>

#include "kernels/emulator/device.h"
#include "kernels/emulator/emulator.h"

namespace isda::emulator {

// What runs launches, one after the other: the threads and the shared memory of two blocks. Never destroyed.
struct Grid;
Grid& make_grid();

// Empty when all went well, else the report of the failure. Adds to `counters`. One at a time.
std::string run_grid(Grid& grid, const Launch& launch, Counters& counters);

}  // namespace isda::emulator
