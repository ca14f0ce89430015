// SPDX-License-Identifier: Apache-2.0
#include "bench/card/timing.h"

#include <algorithm>

#include "bench/vendor/vendor.h"
#include "kernels/elementwise/elementwise.h"

namespace isda::bench {

namespace {

// Of the best of some copies of 256 MiB.
double copy_rate(const Context& context) {
  const std::size_t bytes = cuda::card().is_emulated ? 1 << 16 : std::size_t{256} << 20;
  const auto from = vendor::allocate(bytes), to = vendor::allocate(bytes);
  cuda::fill_bytes(from.get(), 1, bytes, context.stream());
  double best = 0;
  for (int turn = 0; turn < 10; ++turn) {
    cuda::Event begin, end;
    begin.record(context.stream());
    cuda::copy_on_device(to.get(), from.get(), bytes, context.stream());
    end.record(context.stream());
    end.wait();
    best = std::max(best, 2.0 * static_cast<double>(bytes) / end.seconds_since(begin));
  }
  return best;
}

// Of a kernel that does next to nothing.
double launch_seconds(const Context& context) {
  const vendor::Twin x({nullptr, DType::f32, {1}}, DType::f32), y({nullptr, DType::f32, {1}}, DType::f32);
  x.write(context, [](std::int64_t) { return 1.0; });
  const Recorded smallest(context, vendor::runner(kernels::Relu{.x = x.view(), .y = y.view()}));
  double least = smallest.seconds(context);
  for (int turn = 0; turn < 10; ++turn) least = std::min(least, smallest.seconds(context));
  return least;
}

}  // namespace

Recorded::Recorded(const Context& context, std::function<void(const Context&)> run) : run_(std::move(run)), scratch_(std::make_unique<Arena>(Device::cuda)) {
  const Context::ScratchScope scope(context, *scratch_);
  run_(context);
  context.synchronise();
  try {
    auto graph = std::make_unique<cuda::Graph>(context.stream());
    for (int i = 0; i < kRuns; ++i) run_(context);
    graph->finish();
    graph_ = std::move(graph);
  } catch (const Error&) {
    // NOTE: a library may do what a graph cannot hold; is_graph() tells.
  }
  seconds(context);
}

double Recorded::seconds(const Context& context) const {
  const Context::ScratchScope scope(context, *scratch_);
  cuda::Event begin, end;
  begin.record(context.stream());
  if (graph_) {
    graph_->launch(context.stream());
  } else {
    for (int i = 0; i < kRuns; ++i) run_(context);
  }
  end.record(context.stream());
  end.wait();
  return end.seconds_since(begin) / kRuns;
}

Roofline measure_card(const Context& context, DType type) {
  using vendor::Math;
  Roofline roofline{.bytes_per_second = copy_rate(context), .launch_seconds = launch_seconds(context)};
  roofline.flop_per_second = {vendor::product_rate(context, DType::f32, Math::full),
                              type == DType::bf16 ? vendor::product_rate(context, DType::bf16, Math::full) : 0,
                              type == DType::f32 ? vendor::product_rate(context, DType::f32, Math::tf32) : 0};
  return roofline;
}

}  // namespace isda::bench
