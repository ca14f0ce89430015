// SPDX-License-Identifier: Apache-2.0
// The convolution with the inner loops of every vector width against the reference, whatever this machine is.
//
// The table of 16 lanes is compiled here for the instructions of the build, so that the arithmetic of the AVX-512 version - panels,
// tails, tiles of 16 lanes - is tested on machines without AVX-512 too.
#include <gtest/gtest.h>

#include "kernels/common/case.h"
#include "tests/kernels/checker.h"

#pragma GCC diagnostic ignored "-Wpsabi"  // vectors wider than the registers are passed between inlined functions only
#define ISDA_LANES 16
#define ISDA_NAME "16 lanes"
#define ISDA_TABLE kSixteenLanes
#include "kernels/conv2d/microkernels.inc"

namespace isda::kernels {
namespace {

void expect_parity(const conv2d::Microkernels& table) {
  for (const Case& declared : all_cases()) {
    if (declared.name != "conv2d") continue;
    for (std::size_t variant = 0; variant < declared.variants.size(); ++variant) {
      Problem expected(DType::f32, 1), actual(DType::f32, 1);
      declared.variants[variant](expected);
      declared.variants[variant](actual);
      SCOPED_TRACE(fmt::format("{} with {}: {}", variant, table.name, expected.label()));
      expected.run(Context(Device::reference));
      {
        const conv2d::UseMicrokernels use(table);
        actual.run(Context(Device::cpu, 2));
      }
      EXPECT_NO_THROW(actual.check_sentinels());
      for (std::size_t i = 0; i < expected.arrays().size(); ++i) {
        const auto& array = expected.arrays()[i];
        const double tolerance = array.role == Problem::Role::input ? 0 : declared.tolerance.f32;
        EXPECT_EQ(difference(actual.arrays()[i].view, array.view, tolerance), "") << array.name;
      }
    }
  }
}

TEST(Conv2dInstructionSets, FourLanes) { expect_parity(conv2d::kBaseline); }
TEST(Conv2dInstructionSets, SixteenLanes) { expect_parity(conv2d::kSixteenLanes); }

TEST(Conv2dInstructionSets, EightLanes) {
#if defined(ISDA_HAS_X86_KERNELS)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return expect_parity(conv2d::kAvx2);
#endif
  GTEST_SKIP() << "this machine has no AVX2";
}

}  // namespace
}  // namespace isda::kernels
