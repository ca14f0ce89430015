// SPDX-License-Identifier: Apache-2.0
// A bench line for every launch of every declared case (kernels/*/case.cpp): time, GFLOP/s, GB/s.
//
//   isda_bench --benchmark_filter=conv2d
// The shape stands in the name; GFLOP/s and GB/s count what the operation's cost() declares.
#include <benchmark/benchmark.h>

#include "kernels/common/case.h"

namespace isda::kernels {
namespace {

void time_launch(benchmark::State& state, const std::function<void(Problem&)>& make, std::size_t launch) {
  Problem problem(DType::f32, 1);
  make(problem);
  const Context context(Device::cpu);
  problem.run(context);  // fills what later launches read, grows the scratch memory
  const auto& timed = problem.launches()[launch];
  for (auto _ : state) timed.run(context);
  const auto rate = [&](double amount) { return benchmark::Counter(amount * 1e-9, benchmark::Counter::kIsIterationInvariantRate); };
  state.counters["GFLOP/s"] = rate(timed.cost.flop);
  state.counters["GB/s"] = rate(timed.cost.bytes);
}

void register_all() {
  for (const Case& declared : all_cases()) {
    for (const auto& make : declared.bench_variants) {
      Problem problem{Problem::Described()};
      make(problem);
      for (std::size_t launch = 0; launch < problem.launches().size(); ++launch) {
        const std::string name = fmt::format("{}/{}", problem.launches()[launch].name, problem.label());
        benchmark::RegisterBenchmark(name.c_str(), [make, launch](benchmark::State& state) { time_launch(state, make, launch); })
            ->Unit(benchmark::kMillisecond)
            ->UseRealTime();
      }
    }
  }
}

}  // namespace
}  // namespace isda::kernels

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  isda::kernels::register_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
