// SPDX-License-Identifier: Apache-2.0
// Counts what a warp's memory accesses cost, in a build whose kernels are compiled to tell of each (preset `counted`). Elsewhere every function
// here is empty.
//
// The compiler's instrumentation for ThreadSanitizer calls a function before each access; here it is linked with our functions instead of that
// sanitizer's. Accesses of a warp's lanes belong together when they come from one place in the code at the same turn: the k-th time a lane
// comes by that place since the last synchronisation. From a group one reads
//   global   the 32-byte sectors it touches                          (Hopper Tuning Guide 1.4.2; Nsight Compute: l1tex sectors per request)
//   shared   the passes it takes: 32 banks of 4 bytes; accesses of 8 bytes go by halves of a warp, of 16 by quarters; equal words are one
// Basic blocks are counted the same way: one that only some running lanes enter is divergent.
#pragma once
#include "kernels/emulator/location.h"

namespace isda::emulator {
struct Block;
}

namespace isda::emulator::accesses {

#if defined(ISDA_EMULATOR_COUNTED)
// An access that the emulator makes for the running thread: cp.async.
void read(const void* begin, unsigned bytes, const Location& where);
void write(const void* begin, unsigned bytes, const Location& where);
// What the threads of a block, or of one warp, did since the last time is grouped and counted.
void synchronise(Block& block);
void synchronise_warp(Block& block, unsigned warp);
void end_block(Block& block);
#else
inline void read(const void*, unsigned, const Location&) {}
inline void write(const void*, unsigned, const Location&) {}
inline void synchronise(Block&) {}
inline void synchronise_warp(Block&, unsigned) {}
inline void end_block(Block&) {}
#endif

}  // namespace isda::emulator::accesses
