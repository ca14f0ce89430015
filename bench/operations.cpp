// SPDX-License-Identifier: Apache-2.0
// A bench line for every launch of every declared case (kernels/*/case.cpp): time, GFLOP/s, GB/s.
//
//   isda_bench --benchmark_filter=conv2d             on the cpu, f32
//   isda_bench_card --type=bf16 --benchmark_filter=conv2d     on the card, f32 or bf16
// The shape stands in the name; GFLOP/s and GB/s count what the operation's cost() declares. On the card a time is that of kLaunches in a row between two
// events, over their number, and of_copy is GB/s over what a copy on the card reaches, read and written bytes both counted.
#include <benchmark/benchmark.h>

#include <cstring>

#include "kernels/common/case.h"

namespace isda::kernels {
namespace {

#if defined(ISDA_BENCH_ON_CARD)
constexpr Device kDevice = Device::cuda;
#else
constexpr Device kDevice = Device::cpu;
#endif
constexpr int kLaunches = 20;
DType type = DType::f32;

// Bytes a second, read and written, of the best of some copies of 256 MiB on the card.
double copy_rate(const Context& context) {
  static const double rate = [&] {
    constexpr std::size_t kBytes = std::size_t{256} << 20;
    void *from = cuda::allocate(kBytes), *to = cuda::allocate(kBytes);
    double best = 0;
    for (int turn = 0; turn < 10; ++turn) {
      cuda::Event begin, end;
      begin.record(context.stream());
      cuda::copy_on_device(to, from, kBytes, context.stream());
      end.record(context.stream());
      end.wait();
      best = std::max(best, 2.0 * static_cast<double>(kBytes) / end.seconds_since(begin));
    }
    cuda::release(from);
    cuda::release(to);
    return best;
  }();
  return rate;
}

void time_launch(benchmark::State& state, const std::function<void(Problem&)>& make, std::size_t launch) {
  Problem problem(type, 1, kDevice);
  make(problem);
  if (kDevice == Device::cuda && !problem.runs_on_card()) return state.SkipWithError("no version for the card");
  const Context context(kDevice);
  problem.run(context);  // fills what later launches read, grows the scratch memory
  const auto& timed = problem.launches()[launch];
  if (kDevice == Device::cuda) {
    cuda::Event begin, end;
    for (auto _ : state) {
      begin.record(context.stream());
      for (int i = 0; i < kLaunches; ++i) timed.run(context);
      end.record(context.stream());
      end.wait();
      state.SetIterationTime(end.seconds_since(begin) / kLaunches);
    }
  } else {
    for (auto _ : state) timed.run(context);
  }
  const auto rate = [&](double amount) { return benchmark::Counter(amount * 1e-9, benchmark::Counter::kIsIterationInvariantRate); };
  state.counters["GFLOP/s"] = rate(timed.cost.flop);
  state.counters["GB/s"] = rate(timed.cost.bytes);
  if (kDevice == Device::cuda)
    state.counters["of_copy"] = benchmark::Counter(timed.cost.bytes / copy_rate(context), benchmark::Counter::kIsIterationInvariantRate);
}

void register_all() {
  for (const Case& declared : all_cases()) {
    for (const auto& make : declared.bench_variants) {
      Problem problem{Problem::Described()};
      make(problem);
      for (std::size_t launch = 0; launch < problem.launches().size(); ++launch) {
        const std::string name = fmt::format("{}/{}", problem.launches()[launch].name, problem.label());
        benchmark::RegisterBenchmark(name.c_str(), [make, launch](benchmark::State& state) { time_launch(state, make, launch); })
            ->Unit(kDevice == Device::cuda ? benchmark::kMicrosecond : benchmark::kMillisecond)
            ->Apply([](benchmark::internal::Benchmark* bench) { kDevice == Device::cuda ? bench->UseManualTime() : bench->UseRealTime(); });
      }
    }
  }
}

}  // namespace
}  // namespace isda::kernels

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc > 1 && std::strcmp(argv[argc - 1], "--type=bf16") == 0 && isda::kernels::kDevice == isda::Device::cuda) {
    isda::kernels::type = isda::DType::bf16;
    --argc;
  }
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  if (isda::kernels::kDevice == isda::Device::cuda && !isda::cuda::card().is_usable) {
    fmt::print(stderr, "isda_bench_card: no card can be used: {}\n", isda::cuda::card().description);
    return 1;
  }
  isda::kernels::register_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
