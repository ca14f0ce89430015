// SPDX-License-Identifier: Apache-2.0
// The emulated CUDA device, as tests and curious people steer it: in which order threads run, what was counted, what went wrong.
//
// Kernels include kernels/common/simt.cuh and never this. Host code that calls the CUDA runtime API gets the emulator's version of it by being
// linked with it. docs/emulator.md says what it proves and what it cannot.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace isda::emulator {

// Which thread runs next where several could. A missing barrier shows in some orders and hides in others: use all of them.
enum class Order {
  forward,  // the lowest thread of the oldest block
  reverse,  // the highest thread of the youngest block
  random,   // each step another one: finds little (it rarely lets one thread run far ahead), kept to show that
  pct,      // warps and blocks have random priorities that rarely change (Burckhardt et al., Probabilistic Concurrency Testing, 2010)
};

struct Options {
  Order order = Order::forward;
  std::uint64_t seed = 1;         // of random and pct
  bool deferred_streams = false;  // false: what is enqueued runs at once; true: as late as possible, streams interleaved by the seed
  // Reports, too, what a card allows and no result of ours may depend on: atomicAdd of floats, whose sum depends on the order of threads; and, where
  // MemorySanitizer watches, copies to the host of what nobody has written or what was computed from it.
  bool is_strict = false;
  bool late_async_copies = true;                    // cp.async writes its destination when it is waited for, and poison until then; false: at once
  int blocks_in_flight = 2;                         // 1 or 2: with two, races between neighbouring blocks are seen
  int architecture = 90;                            // the compute capability the card says it has, times ten
  std::size_t device_bytes = std::size_t{8} << 30;  // more cannot be allocated on the emulated card
};

// Takes its first values from the environment:
//   ISDA_EMULATOR_ORDER=forward|reverse|random|pct   ISDA_EMULATOR_SEED=N   ISDA_EMULATOR_STREAMS=immediate|deferred
Options& options();

// What the launches of one kernel did. Those below the line are counted only in a build that watches memory accesses (preset `counted`).
struct Counters {
  std::uint64_t launches = 0, blocks = 0, threads = 0;
  std::uint64_t barriers = 0;          // __syncthreads, once a block
  std::uint64_t warp_collectives = 0;  // shuffles, votes, __syncwarp, once a warp
  std::uint64_t tensor_products = 0;   // mma.sync, once a warp
  std::uint64_t async_copy_bytes = 0;  // cp.async
  // Reads of eight rows of 16 bytes by ldmatrix; each conflict costs one read more.
  std::uint64_t ldmatrix_reads = 0, ldmatrix_conflicts = 0;
  std::uint64_t switches = 0;  // between fibers: what the emulation costs
  // ----
  std::uint64_t global_read_bytes = 0, global_written_bytes = 0;  // asked for by threads, cp.async included
  std::uint64_t global_requests = 0, global_sectors = 0;          // of a warp; 32-byte sectors its lanes touch together
  std::uint64_t shared_read_bytes = 0, shared_written_bytes = 0;
  std::uint64_t shared_requests = 0, shared_conflicts = 0;  // of a warp; passes beyond the fewest possible
  std::uint64_t steps = 0, divergent_steps = 0;             // basic blocks entered by a warp; those that only some of its running lanes enter

  Counters& operator+=(const Counters& other);
};

// By kernel name, since the last reset.
std::map<std::string, Counters> counters();
// How often each function of the CUDA runtime was called since the last reset: what allocates, and what makes the host wait.
std::map<std::string, std::uint64_t> api_calls();
void reset_counters();
// The counters as a table, a row a kernel: KiB read and written, sectors over the fewest possible, conflicts a request, share of divergent steps,
// barriers, collectives, tensor products. With ISDA_EMULATOR_COUNTS in the environment it is printed to stderr when the program ends.
std::string counters_table();
// Whether this build watches memory accesses.
bool counts_accesses();

// The story of the last failure: what happened, to which thread of which block, at which line. Empty when nothing failed.
std::string last_report();
// Gives the device back after a failure, which like on a card stays with every later call until then: forgets the error, empties the streams.
void reset_device();

}  // namespace isda::emulator
