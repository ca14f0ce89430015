// SPDX-License-Identifier: Apache-2.0
// What the parts of the conformance test share. They compare what the hardware does according to its manuals with what the cuda device does: the
// emulated card under every schedule, or a real card.
//
// Formulas are written from PTX ISA 9.0 and the CUDA C++ Programming Guide 13, not from the emulator. Values are integers wherever arithmetic is
// involved, so that every comparison is exact.
#pragma once
#include <gtest/gtest.h>

#include <random>

#include "kernels/common/cuda_device.h"
#include "tests/emulator/conformance.h"
#include "tests/kernels/emulated_orders.h"

namespace isda::conformance {

class Conformance : public testing::Test {
 protected:
  void SetUp() override {
    if (!cuda::card().is_usable) GTEST_SKIP() << cuda::card().description;
  }

  // Calls body() under each schedule.
  template <class Body>
  static void always(Body&& body) {
    for_each_order([&](const std::string& order) {
      SCOPED_TRACE(order);
      body();
    });
  }

  int integer(int low, int high) { return std::uniform_int_distribution<int>(low, high)(random); }
  std::uint32_t word() { return std::uniform_int_distribution<std::uint32_t>()(random); }
  Words words(std::size_t count) {
    Words result(count);
    for (auto& value : result) value = word();
    return result;
  }

  std::mt19937 random{20};
};

}  // namespace isda::conformance
