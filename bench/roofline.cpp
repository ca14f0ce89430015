// SPDX-License-Identifier: Apache-2.0
#include "bench/roofline.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "kernels/common/lanes.h"
#include "kernels/common/parallel.h"

namespace isda::bench {

namespace {

// The least seconds of some runs.
template <class Body>
double least_seconds(int runs, Body&& body) {
  double least = 1e30;
  for (int run = 0; run < runs; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    body();
    least = std::min(least, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return least;
}

// Arrays that no cache holds, copied by all threads.
double copy_rate(const Context& context) {
  constexpr std::int64_t kBytes = std::int64_t{128} << 20;
  std::vector<std::byte> from(kBytes, std::byte{1}), to(kBytes);
  const double seconds = least_seconds(6, [&] {
    parallel_ranges(context, kBytes, kBytes / context.threads(),
                    [&](std::int64_t begin, std::int64_t end) { std::memcpy(to.data() + begin, from.data() + begin, static_cast<std::size_t>(end - begin)); });
  });
  return 2.0 * static_cast<double>(kBytes) / seconds;
}

// Multiply-adds in as many independent chains as the processor needs to be always busy.
double multiply_add_rate(const Context& context) {
  constexpr int kChains = 12;
  constexpr std::int64_t kTurns = 1 << 20;
  const double seconds = least_seconds(6, [&] {
    parallel_for(context, context.threads(), [](std::int64_t) {
      Lanes sum[kChains], factor, added;
      for (int lane = 0; lane < kLanes; ++lane) factor[lane] = 0.5f, added[lane] = 1;
      for (Lanes& chain : sum) chain = added;
      for (std::int64_t turn = 0; turn < kTurns; ++turn) {
#pragma GCC unroll 12
        for (Lanes& chain : sum) chain = chain * factor + added;
      }
      for (Lanes& chain : sum) benchmark::DoNotOptimize(chain);
    });
  });
  return 2.0 * kLanes * kChains * static_cast<double>(kTurns) * context.threads() / seconds;
}

}  // namespace

double Roofline::rate(Unit unit) const {
  const auto [f32, bf16, tf32] = flop_per_second;
  switch (unit) {
    case Unit::f32: return f32;
    case Unit::bf16: return bf16;
    case Unit::tf32: return tf32;
    case Unit::three_tf32: return tf32 / 3;
  }
  return 0;
}

double Roofline::perfect_seconds(const Cost& cost, Unit unit) const {
  if (rate(unit) == 0 && cost.flop > 0) return 0;
  return launch_seconds + std::max(cost.bytes / bytes_per_second, cost.flop > 0 ? cost.flop / rate(unit) : 0);
}

Unit unit_of(std::string_view operation, DType type, F32Products products) {
  const bool is_product = operation.starts_with("conv2d") || operation.starts_with("linear");
  // NOTE: covariances are f32 whatever the maps are. Where a block owns a class they are multiplied on f32 lanes: the floor is that of the faster unit.
  constexpr std::string_view kOverCovariances[] = {"isda_head", "isda_prepare", "isda_forward", "isda_update_forward"};
  const bool is_over_covariances = std::ranges::find(kOverCovariances, operation) != std::end(kOverCovariances);
  if (!is_product && !is_over_covariances) return Unit::f32;
  if (is_product && type == DType::bf16) return Unit::bf16;
  switch (products) {
    case F32Products::tf32: return Unit::tf32;
    case F32Products::plain: return Unit::f32;
    case F32Products::three_tf32: break;
  }
  return Unit::three_tf32;
}

Roofline measure_cpu(const Context& context) {
  return {.bytes_per_second = copy_rate(context), .launch_seconds = 0, .flop_per_second = {multiply_add_rate(context), 0, 0}};
}

}  // namespace isda::bench
