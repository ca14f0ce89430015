// SPDX-License-Identifier: Apache-2.0
// A strand: work of the card that follows each other without anybody's doing. Every stream is one, and every branch of a graph.
//
// For ThreadSanitizer each strand is a thread, and the CUDA threads of its kernels are threads of its own. What orders two strands is what orders them on
// a card, an event or the edge of a graph, and what orders a strand and the host is enqueuing and waiting. So two kernels, or a copy and the host, that touch
// the same memory with nothing between them are a race, whichever of them the emulator happens to run first. In other builds a strand is nothing.
#pragma once
#include "kernels/emulator/grid.h"
#include "kernels/emulator/sanitizers.h"

namespace isda::emulator {

struct Strand {
  void* tsan_fiber = nullptr;
  Grid* grid = nullptr;  // what runs its kernels
};

// NOTE: given back, a strand is taken again for another stream, since making the CUDA threads of one takes time.
Strand& take_strand();
void give_back(Strand& strand);

// Whose work the emulator is doing; that of the default stream where nobody said.
extern Strand* working;

// While one lives, what is done counts as done by the strand whose work it is.
class AsStrand {
 public:
  AsStrand() : host_(sanitizer::current_tsan_fiber()) { sanitizer::act_as(working->tsan_fiber); }
  ~AsStrand() { sanitizer::act_as(host_); }
  AsStrand(const AsStrand&) = delete;
  AsStrand& operator=(const AsStrand&) = delete;

 private:
  void* host_;
};

// What the running strand leaves and finds.
inline void acquire_as_strand(sanitizer::Token& token) {
  const AsStrand as_strand;
  sanitizer::acquire(&token);
}
inline void release_as_strand(sanitizer::Token& token) {
  const AsStrand as_strand;
  sanitizer::release(&token);
}

}  // namespace isda::emulator
