// SPDX-License-Identifier: Apache-2.0
// One function for each thing that kernels say to the hardware: it runs a small kernel on the cuda device and brings back what every thread saw.
//
// conformance_*_test.cpp hold the results against the formulas of the manuals. The same files make a test of the emulated card (test_emulator)
// and one of a real card (conformance_card).
#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "kernels/common/dtype.h"
#include "kernels/common/moments.h"
#include "kernels/common/philox.h"

namespace isda::conformance {

using Words = std::vector<std::uint32_t>;
using Floats = std::vector<float>;

// ---- PTX (kernels/common/ptx.cuh) ----

// ldmatrix.x1, x2 or x4: lane l gives the address of shared[row_begins[l]]. Result: the `matrices` registers of each lane.
Words ldmatrix(int matrices, bool is_transposed, const std::vector<std::uint16_t>& shared, const std::vector<int>& row_begins);
// mma.sync by fragments: 4 registers of A, 2 of B, 4 of D for each lane.
Floats mma_bf16(const Words& a, const Words& b, const Floats& d);
Floats mma_tf32(const Words& a, const Words& b, const Floats& d);
Words to_tf32(const Floats& values);
// Each thread copies `bytes` (4, 8 or 16) from its place in `from` to its place in shared memory.
std::vector<unsigned char> cp_async(int bytes, const std::vector<unsigned char>& from, const std::vector<int>& is_valid);
// One warp commits three groups of four bytes a lane. Result: group 0 after wait<2>, group 1 after wait<1>, group 2 after wait<0>.
Words cp_async_groups(const Words& from);

// ---- warps ----

enum class Shuffle { index, exclusive_or, down, up };
// The lanes of `mask` shuffle; the others do not take part and keep 0xffffffff.
Words shuffle(Shuffle kind, unsigned mask, int width, const Words& values, const std::vector<int>& arguments);
std::vector<std::int64_t> shuffle_wide(const std::vector<std::int64_t>& values, int lane_mask);
struct Votes {
  unsigned ballot, any, all, sum, largest, active;
};
std::vector<Votes> vote(unsigned mask, const std::vector<int>& predicates, const Words& values);
// One warp, whose lanes in pairs exchange values through shared memory with __syncwarp between.
Words exchange_pairs(const Words& values);

// ---- blocks ----

struct BlockVotes {
  int count, all, any;
};
std::vector<BlockVotes> block_vote(const std::vector<int>& predicates);
struct Place {
  std::uint32_t thread[3], block[3], block_extent[3], grid_extent[3];
};
// What every thread of a grid believes about itself, by blocks and threads, x fastest.
std::vector<Place> places(const std::array<unsigned, 3>& grid, const std::array<unsigned, 3>& block);
// A thread writes two arrays of shared memory, its neighbour reads them: a * 1000 + b.
Words two_shared_arrays(unsigned threads);
// Three pieces of dynamic shared memory (bytes, words, doubles aligned to 128): their addresses modulo 16, 16 and 128, and their sums after all are filled.
std::vector<std::int64_t> carved(unsigned bytes, unsigned words, unsigned doubles);

// ---- atomics, fences, caches ----

struct Atomics {
  unsigned sum, largest, by_compare_and_swap;
  int signed_sum;
  unsigned long long wide_sum;
  float float_sum;
  unsigned last_exchanged;
};
struct AtomicResults {
  Atomics cells;
  Words old_sums, exchanged;  // what each thread got back
};
AtomicResults atomics(unsigned blocks, unsigned threads);
// Blocks write partial sums, the last one to finish adds them (threadfence): one value.
Words sum_by_last_block(const Words& values, unsigned blocks);
Words copy_past_caches(const Words& values);

// ---- bits and mathematics ----

struct Bits {
  int population, leading_zeros, first_set;
  unsigned high_product, as_word, back;
};
std::vector<Bits> bits(const Words& a, const Words& b);
struct Functions {
  float rsqrt, exponential, logarithm, quotient, reciprocal, root, sine, cosine;
};
std::vector<Functions> functions(const Floats& x, const Floats& y);
std::vector<std::uint16_t> to_bf16(const Floats& values);
Floats from_bf16(const std::vector<std::uint16_t>& bits);
std::vector<PhiloxCounter> philox_words(std::uint64_t seed, RandomStream stream, std::uint64_t a, const std::vector<std::uint64_t>& b);
struct Uniform {
  float fraction;
  std::uint32_t below;
};
std::vector<Uniform> uniform_numbers(const Words& words, std::uint32_t count);

// ---- what kernels build from these (kernels/common/packed.cuh, warp.cuh) ----

// y = 2 x, sixteen bytes at a time.
Floats doubled(const Floats& values);
std::vector<bf16> doubled(const std::vector<bf16>& values);
// Of one warp, in groups of `width` lanes.
Floats warp_sum(int width, const Floats& values);
Floats warp_max(int width, const Floats& values);
std::vector<Moments<float>> warp_moments(int width, const std::vector<Moments<float>>& values);
// Of one block of values.size() threads.
Floats block_sum(const Floats& values);

}  // namespace isda::conformance
