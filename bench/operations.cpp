// SPDX-License-Identifier: Apache-2.0
// A bench line for every launch of every declared case (kernels/*/case.cpp): time, GFLOP/s, GB/s, of_roofline.
//
//   isda_bench --benchmark_filter=conv2d                      on the cpu, f32
//   isda_bench_card --type=bf16 --benchmark_filter=conv2d     on the card, f32 or bf16, beside the vendor's libraries (bench/card/line.h)
//   isda_bench_card --f32-products=tf32                       f32 by one product (kernels/common/f32_products.h)
// The shape stands in the name; GFLOP/s and GB/s count what the operation's cost() declares, and of_roofline is what a perfect kernel would need for
// them (bench/roofline.h) over the time.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <string_view>

#include "bench/roofline.h"
#include "kernels/common/case.h"
#if defined(ISDA_BENCH_ON_CARD)
#include "bench/card/line.h"
#endif

namespace isda::kernels {
namespace {

DType type = DType::f32;
#if defined(ISDA_BENCH_ON_CARD)
constexpr Device kDevice = Device::cuda;
constexpr auto time_launch = bench::time_on_card;
#else
constexpr Device kDevice = Device::cpu;
void time_launch(benchmark::State& state, const std::string&, const std::function<void(Problem&)>& make, std::size_t launch, DType) {
  Problem problem(type, 1, kDevice);
  make(problem);
  const Context context(kDevice);
  static const bench::Roofline roofline = bench::measure_cpu(context);
  problem.run(context);  // fills what later launches read, grows the scratch memory
  const auto& timed = problem.launches()[launch];
  for (auto _ : state) timed.run(context);
  const auto rate = [&](double amount) { return benchmark::Counter(amount, benchmark::Counter::kIsIterationInvariantRate); };
  state.counters["GFLOP/s"] = rate(timed.cost.flop * 1e-9);
  state.counters["GB/s"] = rate(timed.cost.bytes * 1e-9);
  state.counters["of_roofline"] = rate(roofline.perfect_seconds(timed.cost, bench::Unit::f32));
}
#endif

void register_all() {
  for (const Case& declared : all_cases()) {
    for (const auto& make : declared.bench_variants) {
      Problem problem{Problem::Described()};
      make(problem);
      for (std::size_t launch = 0; launch < problem.launches().size(); ++launch) {
        const std::string name = fmt::format("{}/{}", problem.launches()[launch].name, problem.label());
        benchmark::RegisterBenchmark(name.c_str(), [name, &make, launch](benchmark::State& state) { time_launch(state, name, make, launch, type); })
            ->Unit(kDevice == Device::cuda ? benchmark::kMicrosecond : benchmark::kMillisecond)
            ->Apply([](benchmark::internal::Benchmark* bench) { kDevice == Device::cuda ? bench->UseManualTime() : bench->UseRealTime(); });
      }
    }
  }
}

}  // namespace
}  // namespace isda::kernels

#if !defined(ISDA_BENCH_ON_CARD)
int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  isda::kernels::register_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
#else
namespace {

// Whether the argument is there; it is taken out.
bool takes(int& argc, char** argv, std::string_view argument) {
  char** const place = std::find(argv + 1, argv + argc, argument);
  if (place == argv + argc) return false;
  std::move(place + 1, argv + argc, place);
  --argc;
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace isda;
  benchmark::Initialize(&argc, argv);
  takes(argc, argv, "--type=f32");
  if (takes(argc, argv, "--type=bf16")) kernels::type = DType::bf16;
  F32Products products = F32Products::three_tf32;
  for (const F32Products way : kF32Products) {
    if (takes(argc, argv, fmt::format("--f32-products={}", name_of(way)))) products = way;
  }
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  if (!cuda::card().is_usable) {
    fmt::print(stderr, "isda_bench_card: no card can be used: {}\n", cuda::card().description);
    return 1;
  }
  try {
    bench::card_context().set_f32_products(products);
    bench::add_card_context(kernels::type);
  } catch (const Error& error) {
    fmt::print(stderr, "isda_bench_card: {}\n", error.what());
    return 1;
  }
  kernels::register_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  for (const std::string& story : bench::mismatches()) fmt::print(stderr, "isda_bench_card: MISMATCH {}\n", story);
  return bench::mismatches().empty() ? 0 : 1;
}
#endif
