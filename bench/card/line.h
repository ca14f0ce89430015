// SPDX-License-Identifier: Apache-2.0
// A line of the card's bench: one launch of a problem beside the vendor's library.
//
//   time, GFLOP/s, GB/s    of ours; FLOP and bytes as cost() declares them
//   of_copy                GB/s over those of a large copy on this card
//   of_roofline            the time that a perfect kernel would need (bench/roofline.h), over ours
//   vendor_us, x_vendor    the library's time for the same, and that over ours: above 1 ours is faster. In f32 it keeps f32's precision as ours does;
//   tf32_us, x_tf32        the same, allowed to round to TF32
//   together_us            where one call of the library does the work of several launches of ours, the time of those, which x_vendor compares with
//
// Both sides take turns (ours, theirs, ours, theirs, ...) and medians are compared. The label names library and engine, and what of ours it leaves out. Before
// it is timed the library's result is compared with ours on the same data: a MISMATCH has no vendor's time, stands in the label, and is kept in mismatches().
#pragma once
#include <benchmark/benchmark.h>

#include <string>
#include <vector>

#include "kernels/common/case.h"

namespace isda::bench {

using Make = std::function<void(kernels::Problem&)>;

// The context of all lines; lives until the program ends.
Context& card_context();

// Measures the rates that lines of this type are held against, and has the bench print them with the machine.
void add_card_context(DType type);

// NOTE: `make` is remembered by its address, which must stay its own: lines of one problem that follow each other share what is made of it.
void time_on_card(benchmark::State& state, const std::string& name, const Make& make, std::size_t launch, DType type);

// "conv2d/x(...): y: error 0.9 of the largest magnitude, allowed 0.0001"
const std::vector<std::string>& mismatches();

}  // namespace isda::bench
