// SPDX-License-Identifier: Apache-2.0
// The vendor's column of the card's bench, on the stand-ins of cuDNN and cuBLAS for the emulated card: what is asked of the libraries is what we compute,
// and a difference is seen.
#include "bench/vendor/vendor.h"

#include <gtest/gtest.h>

#include <map>

#include "bench/card/timing.h"
#include "kernels/conv2d/conv2d.h"
#include "kernels/linear/linear.h"

namespace isda::vendor {
namespace {

using kernels::Case;
using kernels::Problem;

// Every launch of every test shape that has an equal agrees with it, in f32 and bf16.
TEST(Vendor, AgreesWithEveryLaunchThatHasAnEqual) {
  const Context context(Device::cuda);
  std::map<std::string, int> found;
  for (const Case& declared : kernels::all_cases()) {
    for (const auto& make : declared.variants) {
      for (const DType type : {DType::f32, DType::bf16}) {
        Problem problem(type, 1, Device::cuda);
        make(problem);
        SCOPED_TRACE(fmt::format("{} {} {}", declared.name, name_of(type), problem.label()));
        problem.run(context);
        for (std::size_t launch = 0; launch < problem.launches().size(); ++launch) {
          for (const Equal& equal : find_equals(context, problem.launches(), launch)) {
            SCOPED_TRACE(problem.launches()[launch].name + ": " + equal.words);
            ASSERT_TRUE(equal.run != nullptr);
            EXPECT_EQ(mismatch(context, equal), "");
            found[fmt::format("{} {}{}", problem.launches()[launch].name, name_of(type), equal.math == Math::tf32 ? " tf32" : "")]++;
          }
        }
      }
    }
  }
  for (const char* product : {"conv2d", "conv2d_backward_data", "conv2d_backward_weights", "linear", "linear_backward"}) {
    for (const char* kind : {" f32", " f32 tf32", " bf16"}) EXPECT_GT(found[product + std::string(kind)], 5) << product << kind;
  }
  for (const char* other : {"batch_norm", "batch_norm_backward", "max_pool2d", "max_pool2d_backward", "average_pool2d", "average_pool2d_backward",
                            "global_average", "global_average_backward", "softmax_cross_entropy"}) {
    for (const char* kind : {" f32", " bf16"}) EXPECT_GT(found[other + std::string(kind)], 4) << other << kind;
  }
}

// A convolution with a prologue and a residual, and a linear layer.
void make_convolution(Problem& p) {
  const ConstView x = p.input("x", {1, 6, 5, 8}), weight = p.input("weight", {4, 3, 3, 8});
  const View y = p.output("y", {1, 6, 5, 4});
  p.forward(kernels::Conv2d{.x = x, .weight = weight, .y = y, .padding = 1, .prologue = {.relu = true}, .epilogue = {.residual = p.input("r", {1, 6, 5, 4})}});
}
void make_linear(Problem& p) {
  const ConstView x = p.input("x", {6, 40}), weight = p.input("weight", {6, 40});
  p.forward(kernels::Linear{.x = x, .weight = weight, .y = p.output("y", {6, 6})});
}

std::vector<Equal> equals_of(const Context& context, Problem& problem, void (*make)(Problem&)) {
  make(problem);
  problem.run(context);
  return find_equals(context, problem.launches(), 0);
}

TEST(Vendor, SaysWhatTheLibraryLeavesOut) {
  const Context context(Device::cuda);
  Problem problem(DType::bf16, 1, Device::cuda);
  const auto equals = equals_of(context, problem, make_convolution);
  ASSERT_EQ(equals.size(), 1u);
  EXPECT_NE(equals[0].words.find("; without prologue, residual"), std::string::npos) << equals[0].words;
  EXPECT_NE(equals[0].words.find("cuDNN 9.0 engine "), std::string::npos) << equals[0].words;
}

// In full precision neither the engine that rounds to TF32 nor the one that sums in bf16 may be taken; one that is not supported is passed over.
TEST(Vendor, TakesOnlyEnginesThatKeepThePrecision) {
  const Context context(Device::cuda);
  Problem problem(DType::f32, 1, Device::cuda);
  const auto equals = equals_of(context, problem, make_convolution);
  ASSERT_EQ(equals.size(), 2u);
  EXPECT_NE(equals[0].words.find("engine 1, best of 2"), std::string::npos) << equals[0].words;
  EXPECT_NE(equals[1].words.find(", best of 3"), std::string::npos) << equals[1].words;
}

TEST(Vendor, SeesAResultThatIsNotWritten) {
  const Context context(Device::cuda);
  Problem problem(DType::f32, 1, Device::cuda);
  auto equals = equals_of(context, problem, make_linear);
  equals[0].run = [kept = equals[0].run](const Context&) {};
  EXPECT_EQ(mismatch(context, equals[0]), "y: error inf of the largest magnitude, allowed 0.0001");
}

// TF32 where full precision was promised, and a product of the wrong arrays.
TEST(Vendor, SeesAnotherResult) {
  const Context context(Device::cuda);
  Problem problem(DType::f32, 1, Device::cuda);
  auto equals = equals_of(context, problem, make_convolution);
  ASSERT_EQ(equals.size(), 2u);
  Twin rounded(equals[0].results[0].ours);
  const auto exact = equals[0].run;
  // NOTE: as far off as TF32 is.
  equals[0].run = [&](const Context& its) {
    exact(its);
    std::vector<float> values(static_cast<std::size_t>(rounded.view().size()));
    const ConstView& theirs = equals[0].results[0].theirs;
    cuda::copy_to_host(values.data(), theirs.data(), static_cast<std::size_t>(theirs.bytes()), its.stream());
    its.synchronise();
    for (float& value : values) value *= 1 + 3e-4f;
    cuda::copy_to_device(const_cast<void*>(theirs.data()), values.data(), static_cast<std::size_t>(theirs.bytes()), its.stream());
    its.synchronise();
  };
  EXPECT_NE(mismatch(context, equals[0]), "");
  Problem other(DType::f32, 2, Device::cuda);
  auto others = equals_of(context, other, make_convolution);
  others[0].run = equals[1].run;
  others[0].results[0].theirs = equals[1].results[0].theirs;
  EXPECT_NE(mismatch(context, others[0]), "");
}

// What is timed is a graph, and one that goes on giving the right result after the context's temporaries are used by others.
TEST(Recorded, RunsAsAGraph) {
  const Context context(Device::cuda);
  Problem problem(DType::f32, 1, Device::cuda);
  const auto equals = equals_of(context, problem, make_convolution);
  const bench::Recorded ours(context, problem.launches()[0].run), theirs(context, equals[0].run);
  EXPECT_TRUE(ours.is_graph());
  EXPECT_TRUE(theirs.is_graph());
  EXPECT_GT(ours.seconds(context), 0);
  EXPECT_GT(theirs.seconds(context), 0);
}

TEST(Roofline, IsTheSlowerOfCopyAndMultipliersAfterTheLaunch) {
  const bench::Roofline roofline{.bytes_per_second = 1e12, .launch_seconds = 2e-6, .flop_per_second = {1e13, 8e14, 0}};
  using bench::Unit;
  EXPECT_DOUBLE_EQ(roofline.perfect_seconds({.flop = 1e6, .bytes = 1e7}, Unit::f32), 2e-6 + 1e-5);
  EXPECT_DOUBLE_EQ(roofline.perfect_seconds({.flop = 8e9, .bytes = 1e7}, Unit::bf16), 2e-6 + 1e-5);
  EXPECT_DOUBLE_EQ(roofline.perfect_seconds({.flop = 8e10, .bytes = 1e7}, Unit::bf16), 2e-6 + 1e-4);
  EXPECT_EQ(roofline.perfect_seconds({.flop = 8e10, .bytes = 1e7}, Unit::three_tf32), 0) << "where a rate was not measured there is no share";
  EXPECT_DOUBLE_EQ(roofline.perfect_seconds({.flop = 0, .bytes = 1e6}, Unit::three_tf32), 3e-6);
  const bench::Roofline f32{.bytes_per_second = 1e12, .flop_per_second = {1e13, 0, 3e14}};
  EXPECT_DOUBLE_EQ(f32.rate(Unit::three_tf32), 1e14);
  EXPECT_EQ(bench::unit_of("conv2d_backward_data", DType::f32), Unit::three_tf32);
  EXPECT_EQ(bench::unit_of("linear", DType::bf16), Unit::bf16);
  EXPECT_EQ(bench::unit_of("batch_norm", DType::bf16), Unit::f32);
  EXPECT_EQ(bench::unit_of("conv2d", DType::f32, F32Products::tf32), Unit::tf32);
  EXPECT_EQ(bench::unit_of("conv2d", DType::f32, F32Products::plain), Unit::f32);
  EXPECT_EQ(bench::unit_of("conv2d", DType::bf16, F32Products::plain), Unit::bf16);
  EXPECT_EQ(bench::unit_of("batch_norm", DType::f32, F32Products::tf32), Unit::f32);
  EXPECT_EQ(bench::unit_of("isda_head", DType::bf16), Unit::three_tf32);
  EXPECT_EQ(bench::unit_of("isda_prepare", DType::f32, F32Products::tf32), Unit::tf32);
  EXPECT_EQ(bench::unit_of("isda_update", DType::f32), Unit::f32);
}

}  // namespace
}  // namespace isda::vendor
