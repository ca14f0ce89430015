// SPDX-License-Identifier: Apache-2.0
// What a line of the card's bench says, on the emulated card and the libraries' stand-ins: its columns, and a result that differs from the library's.
#include "bench/card/line.h"

#include <gtest/gtest.h>

#include <limits>

#include "kernels/batch_norm/batch_norm.h"
#include "kernels/linear/linear.h"

namespace isda::bench {
namespace {

using namespace kernels;

class Keep : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& reports) override { runs.insert(runs.end(), reports.begin(), reports.end()); }

  std::vector<Run> runs;
};

// The line of one launch, run twice as often as it needs to be.
benchmark::BenchmarkReporter::Run line_of(const Make& make, std::size_t launch, DType type) {
  benchmark::ClearRegisteredBenchmarks();
  benchmark::RegisterBenchmark("line", [&](benchmark::State& state) { time_on_card(state, "line", make, launch, type); })->UseManualTime()->Iterations(2);
  Keep keep;
  benchmark::RunSpecifiedBenchmarks(&keep);
  return keep.runs.at(0);
}

Make make_linear(double factor) {
  return [factor](Problem& p) {
    const ConstView x = p.input("x", {6, 40}, [factor](Draw&draw, std::int64_t) { return factor * draw.normal(); }), weight = p.input("weight", {5, 40});
    p.forward(Linear{.x = x, .weight = weight, .y = p.output("y", {6, 5})});
  };
}

TEST(Line, HasTheLibrarysTimeInBothPrecisions) {
  static const Make make = make_linear(1);
  const auto line = line_of(make, 0, DType::f32);
  for (const char* counter : {"GFLOP/s", "GB/s", "of_copy", "of_roofline", "vendor_us", "x_vendor", "tf32_us", "x_tf32"}) {
    ASSERT_TRUE(line.counters.contains(counter)) << counter;
    EXPECT_GT(line.counters.at(counter).value, 0) << counter;
  }
  EXPECT_FALSE(line.counters.contains("together_us"));
  EXPECT_EQ(line.report_label, "vendor: cuBLAS 0.0 | tf32: cuBLAS 0.0");
}

TEST(Line, ComparesTogetherWhatTheLibraryDoesInOneCall) {
  static const Make make = [](Problem& p) {
    const Shape channels{8};
    const ConstView x = p.input("x", {2, 3, 3, 8}), weight = p.parameter("weight", channels), bias = p.parameter("bias", channels);
    const View mean = p.parameter_output("mean", channels), variance = p.parameter_output("variance", channels), y = p.output("y", {2, 3, 3, 8});
    const View running_mean = p.parameter_inout("running_mean", channels), running_variance = p.parameter_inout("running_variance", channels);
    p.forward(BatchNormStatistics{.x = x, .mean = mean, .variance = variance});
    p.forward(BatchNorm{
        .x = x, .mean = mean, .variance = variance, .weight = weight, .bias = bias, .y = y, .running = {.mean = running_mean, .variance = running_variance}});
  };
  const auto alone = line_of(make, 0, DType::bf16), last = line_of(make, 1, DType::bf16);
  EXPECT_FALSE(alone.counters.contains("vendor_us"));
  EXPECT_EQ(alone.report_label, "vendor: -");
  ASSERT_TRUE(last.counters.contains("together_us"));
  EXPECT_NEAR(last.counters.at("x_vendor").value, last.counters.at("vendor_us").value / last.counters.at("together_us").value, 1e-9);
}

TEST(Line, OfAnotherResultHasNoTimeOfTheLibrary) {
  ASSERT_TRUE(mismatches().empty());
  static const Make make = make_linear(std::numeric_limits<double>::quiet_NaN());
  const auto line = line_of(make, 0, DType::bf16);
  EXPECT_FALSE(line.counters.contains("vendor_us"));
  EXPECT_FALSE(line.counters.contains("x_vendor"));
  EXPECT_GT(line.counters.at("GB/s").value, 0) << "ours is timed all the same";
  EXPECT_EQ(line.report_label, "vendor: - MISMATCH y: error inf of the largest magnitude, allowed 0.02, cuBLAS 0.0");
  ASSERT_EQ(mismatches().size(), 1u);
  EXPECT_EQ(mismatches()[0], "line: y: error inf of the largest magnitude, allowed 0.02, cuBLAS 0.0");
}

}  // namespace
}  // namespace isda::bench
