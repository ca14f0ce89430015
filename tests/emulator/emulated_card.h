// SPDX-License-Identifier: Apache-2.0
// A test that steers the emulated card, and leaves it as it was: options, errors, counters.
#pragma once
#include <gtest/gtest.h>

#include <string>

#include "kernels/common/context.h"
#include "kernels/common/error.h"
#include "kernels/emulator/emulator.h"

namespace isda {

class EmulatedCard : public testing::Test {
 protected:
  EmulatedCard() { emulator::reset_counters(); }
  ~EmulatedCard() override {
    emulator::reset_device();
    emulator::options() = before_;
  }

  // What the card tells of body(), which must fail.
  template <class Body>
  static std::string report_of(Body&& body) {
    try {
      body();
    } catch (const Error&) {
      const std::string report = emulator::last_report();
      emulator::reset_device();
      return report;
    }
    ADD_FAILURE() << "nothing was reported";
    return {};
  }

  emulator::Options& options = emulator::options();

 private:
  emulator::Options before_ = emulator::options();
};

}  // namespace isda
