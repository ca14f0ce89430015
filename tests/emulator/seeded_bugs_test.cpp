// SPDX-License-Identifier: Apache-2.0
// Beside every seeded bug stands its right form: nothing is noticed there, under no schedule and no sanitizer. That the bugs are caught is tested
// by commit_bug, one process each (CMakeLists.txt), since a sanitizer ends the process.
#include "tests/emulator/seeded_bugs.h"

#include <gtest/gtest.h>

#include "tests/kernels/emulated_orders.h"

namespace isda::seeded {
namespace {

class RightForm : public testing::TestWithParam<Bug> {};

TEST_P(RightForm, IsSilent) {
  const Strictly strictly;
  for_each_order([&](const std::string& order) {
    SCOPED_TRACE(order);
    EXPECT_EQ(GetParam().commit(true), "");
  });
}

INSTANTIATE_TEST_SUITE_P(SeededBugs, RightForm, testing::ValuesIn(all_bugs()), [](const auto& bug) { return std::string(bug.param.name); });

}  // namespace
}  // namespace isda::seeded
