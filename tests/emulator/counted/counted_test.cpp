// SPDX-License-Identifier: Apache-2.0
// What is counted of a kernel's memory accesses, against what one counts by hand.
#include <gtest/gtest.h>

#include <memory>

#include "kernels/common/case.h"
#include "kernels/emulator/emulator.h"
#include "tests/emulator/counted/patterns.h"

namespace isda {
namespace {

class Counted : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(emulator::counts_accesses());
    emulator::reset_counters();
  }
  emulator::Counters of(const char* kernel) {
    context.synchronise();
    return emulator::counters().at(kernel);
  }
  float* card(std::size_t floats) {
    memory.emplace_back(cuda::allocate(floats * sizeof(float)), cuda::release);
    return static_cast<float*>(memory.back().get());
  }

  Context context{Device::cuda};
  std::vector<std::shared_ptr<void>> memory;
};

TEST_F(Counted, GlobalBytesAndSectors) {
  float *x = card(32 * 8), *y = card(32 * 8);
  patterns::copy_strided(context, x, y, 1);
  const auto side_by_side = of("copy");
  EXPECT_EQ(side_by_side.global_read_bytes, 128u);
  EXPECT_EQ(side_by_side.global_written_bytes, 128u);
  EXPECT_EQ(side_by_side.global_requests, 2u);
  EXPECT_EQ(side_by_side.global_sectors, 2u * 4);

  emulator::reset_counters();
  patterns::copy_strided(context, x, y, 8);
  const auto apart = of("copy");
  EXPECT_EQ(apart.global_read_bytes, 128u);
  EXPECT_EQ(apart.global_requests, 2u);
  EXPECT_EQ(apart.global_sectors, 2u * 32);
}

TEST_F(Counted, SharedConflicts) {
  float* y = card(32);
  // Words of one bank apart, all in one bank, and with the gap that cures it: passes beyond one, for the store and the load.
  for (const auto& [stride, conflicts] : {std::pair{1, 0u}, {2, 1u}, {4, 3u}, {32, 31u}, {33, 0u}}) {
    emulator::reset_counters();
    patterns::shared_strided(context, y, stride);
    const auto counters = of("shared");
    EXPECT_EQ(counters.shared_requests, 2u) << "stride " << stride;
    EXPECT_EQ(counters.shared_conflicts, 2 * conflicts) << "stride " << stride;
    EXPECT_EQ(counters.shared_read_bytes, 128u);
    EXPECT_EQ(counters.shared_written_bytes, 128u);
    EXPECT_EQ(counters.barriers, 1u);
  }
}

TEST_F(Counted, WideAccessesGoByQuarters) {
  patterns::shared_wide(context, card(32));
  const auto counters = of("wide");
  EXPECT_EQ(counters.shared_requests, 2u);
  EXPECT_EQ(counters.shared_read_bytes, 512u);
  EXPECT_EQ(counters.shared_conflicts, 0u);
}

TEST_F(Counted, DivergentSteps) {
  float* y = card(64);
  patterns::branch(context, y, 32);
  EXPECT_EQ(of("branch").divergent_steps, 0u);
  emulator::reset_counters();
  patterns::branch(context, y, 20);
  EXPECT_GE(of("branch").divergent_steps, 2u);
}

// An operation that streams moves what its cost says, no byte more.
TEST_F(Counted, StreamingOperationsMoveTheirCost) {
  for (const auto& declared : kernels::all_cases()) {
    if (declared.name != "relu" && declared.name != "add") continue;
    for (const auto& make : declared.variants) {
      kernels::Problem problem(DType::f32, 1, Device::cuda);
      make(problem);
      emulator::reset_counters();
      problem.run(context);
      double moved = 0, declared_bytes = 0;
      for (const auto& [name, counters] : emulator::counters()) moved += static_cast<double>(counters.global_read_bytes + counters.global_written_bytes);
      for (const auto& launch : problem.launches()) declared_bytes += launch.cost.bytes;
      EXPECT_EQ(moved, declared_bytes) << problem.label();
    }
  }
}

}  // namespace
}  // namespace isda
