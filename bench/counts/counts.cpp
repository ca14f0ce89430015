// SPDX-License-Identifier: Apache-2.0
// What a GPU engineer asks of a kernel before there is a GPU: bytes, sectors, bank conflicts, divergence, barriers, counted on the emulated card.
//
//   isda_counts [FILTER] [f32|bf16] [BENCH]     a row a kernel, for the largest test shape of every case whose name contains FILTER; or, with a number,
//                                               for the bench shape of that number, from 0
//
//   read, written   KiB of global memory that threads ask for         declared   what the operation's cost() says it moves, in KiB
//   sectors         32-byte sectors touched over the fewest possible  conflicts  passes over shared memory beyond one, a request
//   divergent       share of a warp's steps (basic blocks) that only some of its running lanes take
// NOTE: counted, not timed: what caches keep, and how loads overlap, only a card knows.
#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernels/common/case.h"
#include "kernels/emulator/emulator.h"

namespace isda::kernels {
namespace {

// The number of the variant with the most elements.
std::size_t largest_of(const Case& declared) {
  std::size_t largest = 0;
  std::int64_t most = -1;
  for (std::size_t i = 0; i < declared.variants.size(); ++i) {
    Problem problem(DType::f32, 1);
    declared.variants[i](problem);
    std::int64_t elements = 0;
    for (const auto& array : problem.arrays()) elements += array.view.size();
    if (elements > most) {
      most = elements;
      largest = i;
    }
  }
  return largest;
}

// bench: the number of a bench shape, or -1.
void print_counts(const Case& declared, DType type, int bench) {
  if (bench >= static_cast<int>(declared.bench_variants.size())) return;
  Problem problem(type, 1, Device::cuda);
  (bench >= 0 ? declared.bench_variants[static_cast<std::size_t>(bench)] : declared.variants[largest_of(declared)])(problem);
  if (!problem.runs_on_card()) return;
  emulator::reset_counters();
  problem.run(Context(Device::cuda));
  Cost cost;
  for (const auto& launch : problem.launches()) {
    cost.flop += launch.cost.flop;
    cost.bytes += launch.cost.bytes;
  }
  std::uint64_t moved = 0, launches = 0;
  for (const auto& [name, counts] : emulator::counters()) {
    moved += counts.global_read_bytes + counts.global_written_bytes;
    launches += counts.launches;
  }
  fmt::print("{} {}: {}\n  {} launches; {:.1f} KiB moved, {:.1f} declared; {:.1f} MFLOP declared\n", declared.name, name_of(type), problem.label(), launches,
             static_cast<double>(moved) / 1024, cost.bytes / 1024, cost.flop * 1e-6);
  fmt::print("{}", emulator::counters_table());
}

}  // namespace
}  // namespace isda::kernels

int main(int argc, char** argv) {
  using namespace isda;
  const char* filter = argc > 1 ? argv[1] : "";
  const bool is_bf16 = argc > 2 && std::strcmp(argv[2], "bf16") == 0;
  const int bench = argc > 3 ? std::atoi(argv[3]) : -1;
  try {
    for (const auto& declared : kernels::all_cases()) {
      if (declared.name.find(filter) != std::string::npos) kernels::print_counts(declared, is_bf16 ? DType::bf16 : DType::f32, bench);
    }
  } catch (const Error& error) {
    fmt::print(stderr, "isda_counts: {}\n", error.what());
    return 1;
  }
}
